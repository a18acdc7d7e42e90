import pytest

from mimic_ray.data.names import (
    IMAGE_FORMATS,
    START_BYTES,
    as_key,
    image_format,
    is_hidden,
    is_shard,
    is_unnamed,
    suffix_of,
)


@pytest.mark.parametrize(
    ("name", "suffix"), [("a/B.JPG", "jpg"), ("x.tar.gz", "gz"), ("none", ""), (".hidden", "")]
)
def test_a_suffix_is_lower_case_without_its_dot(name, suffix):
    assert suffix_of(name) == suffix


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.tar", True), ("A.TAR.GZ", True), ("a.tgz", True), ("._a.tar", False), ("a.zip", False)],
)
def test_shards_are_recognised_by_their_suffix(name, expected):
    assert is_shard(name) == expected


@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "text", ""]
)
def test_an_image_is_recognised_by_its_first_bytes(form, encoded):
    content = encoded(1, form) if form.isupper() else form.encode()
    suffix = image_format(content[:START_BYTES])
    assert IMAGE_FORMATS.get(suffix, "") == (form if form.isupper() else "")


def test_only_files_whose_suffix_says_nothing_are_looked_into():
    assert [
        n for n in ("a", "a.jpg.1", "a.png", "a.txt", "a.cr2", "a.tar.gz") if is_unnamed(n)
    ] == [
        "a",
        "a.jpg.1",
    ]


def test_only_the_last_part_of_a_name_makes_it_hidden():
    assert is_hidden("a/.b.png")
    assert not is_hidden(".a/b.png")


def test_a_key_is_valid_utf8():
    assert as_key("grün/a\udcff.png") == "grün/a\\xff.png"
