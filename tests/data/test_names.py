import pytest

from mimic_ray.data.names import as_key, is_hidden, is_shard, suffix_of


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


def test_only_the_last_part_of_a_name_makes_it_hidden():
    assert is_hidden("a/.b.png")
    assert not is_hidden(".a/b.png")


def test_a_key_is_valid_utf8():
    assert as_key("grün/a\udcff.png") == "grün/a\\xff.png"
