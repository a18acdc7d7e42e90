import pytest

from mimic_ray.data.samples import chosen_image, key_and_suffix, label_in, numbered


@pytest.mark.parametrize(
    ("name", "key", "suffix"),
    [
        ("a.b/1.seg.PNG", "a.b/1", "seg.png"),
        ("1.jpg", "1", "jpg"),
        ("a/1", "a/1", ""),
    ],
)
def test_a_key_ends_at_the_first_dot_of_the_last_part(name, key, suffix):
    assert key_and_suffix(name) == (key, suffix)


@pytest.mark.parametrize(
    ("suffixes", "chosen"),
    [
        (["seg.png", "jpg"], 1),
        (["png", "jpg"], 1),  # the order of names.IMAGE_FORMATS
        (["left.png", "png"], 1),
        (["depth.png", "rgb.png"], 1),
        (["mask.png"], 0),
        (["left.png", "right.png"], None),
        (["mask.png", "depth_map.png"], None),
        (["segment.png", "mask.png"], 0),  # only whole words count
    ],
)
def test_the_photograph_of_a_sample_is_chosen(suffixes, chosen):
    assert chosen_image(suffixes) == chosen


@pytest.mark.parametrize(
    ("suffix", "content", "label"),
    [
        ("cls", b"7\n", 7),
        ("cls", b"cat", "cat"),
        ("cls", b"-1", None),
        ("cls", b"0.5", None),
        ("cls", b"\xff\x00", None),
        ("txt", b"x" * 65, None),
        ("json", b'{"label": 3}', 3),
        ("json", b'{"caption": "a cat"}', None),
        ("json", b'{"label": true}', None),
        ("json", b'{"label": {"id": 1}}', None),
        ("json", b"[" * 50_000, None),
        ("json", b"5", 5),
    ],
)
def test_a_label_is_a_number_or_a_name(suffix, content, label):
    assert label_in(suffix, content) == label


def test_labels_are_numbers_or_names_for_all_images():
    assert numbered([1, 0, 1]) == ([1, 0, 1], None)
    assert numbered(["dog", "cat", "dog", "dog"]) == ([1, 0, 1, 1], ["cat", "dog"])
    assert numbered(["b", "c", "b", "c"], list("cbaxyz")) == ([1, 0, 1, 0], list("cbaxyz"))
    assert numbered(["b", "d"] * 2, ["c", "b"]) == ([0, 1, 0, 1], ["b", "d"])
    assert numbered([1, None]) == numbered(["a", 1]) == (None, None)
    assert numbered(["a cat", "a dog", "an owl"]) == (None, None)  # captions
