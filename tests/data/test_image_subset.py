"""Held-out images: evenly spaced, never trained on, none of a small set."""

from __future__ import annotations

import itertools

import pytest

from mimic_ray.data.image_subset import ImageSubset, hold_out
from mimic_ray.data.left_out import Omissions


class Source:
    """Images that are their own number."""

    location, fingerprint, remote, classes = "images", "f", False, None
    left_out, notes = Omissions(), []

    def __init__(self, count: int, labels: list[int] | None = None) -> None:
        self.keys = [f"{number:06}" for number in range(count)]
        self.labels = labels

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        return str(index).encode()


@pytest.mark.parametrize(("count", "held_out"), [(640, 32), (2000, 100), (100_000, 500)])
def test_one_image_in_20_is_held_out_and_no_image_is_on_both_sides(count, held_out):
    train, test = hold_out(Source(count))
    assert len(test) == held_out
    assert sorted([*train.keys, *test.keys]) == Source(count).keys
    positions = [int(key) for key in test.keys]
    gaps = {after - before for before, after in itertools.pairwise(positions)}
    assert max(gaps) - min(gaps) <= 1


def test_nothing_is_held_out_of_a_small_set():
    source = Source(639)
    assert hold_out(source) == (source, None)


def test_a_subset_reads_its_own_images_and_labels():
    subset = ImageSubset(Source(4, labels=[5, 6, 7, 8]), [3, 1])
    assert [subset.read(0), *subset.read_many([1, 0])] == [b"3", b"1", b"3"]
    assert subset.labels == [8, 6]


def test_subsets_of_equal_size_have_different_fingerprints():
    source = Source(4)
    fingerprints = {ImageSubset(source, chosen).fingerprint for chosen in ([0, 1], [0, 2], [0, 1])}
    assert len(fingerprints) == 2
