from __future__ import annotations

import pytest

from mimic_ray.base.errors import DataError, MissingDataError
from mimic_ray.data.patterns import expand_braces, is_pattern, matching


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{08..10}.tar", ["a-08.tar", "a-09.tar", "a-10.tar"]),
        ("{a,b}-{0..1}", ["a-0", "a-1", "b-0", "b-1"]),
        ("plain", ["plain"]),
    ],
)
def test_braces_are_numbers_with_their_zeros_or_words(pattern, names):
    assert expand_braces(pattern) == names


def test_a_range_of_more_than_a_million_is_refused():
    with pytest.raises(DataError, match="more than a million"):
        expand_braces("{0..2000000}.tar")


def test_two_stars_match_folders_at_any_depth(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("1.png", "a/2.png", "a/b/3.png"):
        (tmp_path / name).write_bytes(b"")
    assert len(matching(f"{tmp_path}/**/*.png")) == 3
    assert is_pattern(f"{tmp_path}/**/*.png")


def test_a_name_from_braces_must_exist_and_a_wildcard_must_match(tmp_path):
    (tmp_path / "0.tar").write_bytes(b"")
    with pytest.raises(MissingDataError, match=r"1\.tar does not exist"):
        matching(f"{tmp_path}/{{0..1}}.tar")
    with pytest.raises(MissingDataError, match="Nothing matches"):
        matching(f"{tmp_path}/x*.tar")
