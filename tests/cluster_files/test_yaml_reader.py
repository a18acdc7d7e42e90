"""YAML with its lines; what is no plain YAML is refused in one sentence and soon."""

from __future__ import annotations

import time

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.cluster_files.yaml_reader import parse, read_documents

TEXT = """\
# a comment
a: 1
b:
  c:
    - x
    - d: 2
---
e: 3
"""


def test_a_place_has_the_line_where_it_is_written():
    first, second = parse(TEXT, "x")
    assert first.data == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
    lines = {place: first.line(place) for place in [(), ("a",), ("b", "c"), ("b", "c", 1, "d")]}
    assert lines == {(): 2, ("a",): 2, ("b", "c"): 4, ("b", "c", 1, "d"): 6}
    assert first.line(("b", "c", 1, "gone")) == 6  # the nearest thing that is there
    assert second.line(("e",)) == 8


def test_a_key_given_twice_is_kept_in_mind():
    (document,) = parse("a: 1\nb: {c: 1, c: 2}\n", "x")
    assert document.twice == [("b", "c")]


def test_keys_that_yaml_takes_for_numbers_or_truth_are_kept_in_mind():
    (document,) = parse("1: a\nyes: b\n'2': c\n", "x")
    assert document.bare == [("1",), ("yes",)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\n", "line 2"),
        ("a: b: c\n", "line 1, column 5"),
        ("\tb: 1\n", "line 1"),
        ("a: !!python/object/apply:os.system ['touch /tmp/gone']\n", "line 1"),
        ("a: *b\n", "line 1"),
        ("a: 2026-99-99\n", "no YAML"),
        ("[" * 5000, "no YAML"),
        ("&a [*a]", "no YAML"),
        ("a: \x00\n", "no YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text, words):
    with pytest.raises(UsageError, match=words) as caught:
        parse(text, "x.yaml")
    assert caught.value.message.startswith("x.yaml is no YAML: ")
    assert "\n" not in caught.value.message


def test_aliases_that_multiply_are_refused_in_a_moment():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    start = time.monotonic()
    with pytest.raises(UsageError, match="grow without end"):
        parse("\n".join(lines), "x")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"", "is empty"),
        (b"# nothing\n---\n", "is empty"),
        (b"a: 1\n" * 200_000, "512 KiB"),
    ],
)
def test_a_file_that_cannot_be_one_is_refused(tmp_path, content, words):
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_documents(tmp_path / "x.yaml")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read: No such file"):
        read_documents(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_documents(tmp_path)
