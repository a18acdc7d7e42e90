from __future__ import annotations

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.cluster_files.yaml_reader import YamlSyntaxError, parse, read_documents

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


def test_a_path_has_the_line_of_its_key():
    first, second = parse(TEXT)
    assert first.data == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
    lines = {path: first.line(path) for path in [(), ("a",), ("b", "c"), ("b", "c", 1, "d")]}
    assert lines == {(): 2, ("a",): 2, ("b", "c"): 4, ("b", "c", 1, "d"): 6}
    assert first.line(("b", "c", 1, "missing")) == 6
    assert second.line(("e",)) == 8


def test_repeated_keys_and_keys_that_are_not_text_are_recorded():
    (document,) = parse("a: 1\nb: {c: 1, c: 2}\n")
    assert document.repeated_keys == [("b", "c")]
    (document,) = parse("1: a\nyes: b\n'2': c\n")
    assert document.non_text_keys == [("1",), ("yes",)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\n", 2),
        ("a: b: c\n", 1),
        ("x: 1\ny: !!python/object/apply:os.system ['touch /tmp/x']\n", 2),
        ("a: 1\nb: *c\n", 2),
        ("a: 2026-99-99\n", 1),
        ("[" * 500, 1),
        ("&a [*a]", 1),
        ("a: \x00\n", 1),
    ],
)
def test_what_is_not_plain_yaml_is_an_error_with_its_line(text, line):
    with pytest.raises(YamlSyntaxError, match="Not valid YAML: ") as caught:
        parse(text)
    assert caught.value.line == line
    assert caught.value.reason.isprintable()


def test_aliases_that_expand_without_bound_are_refused_early():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(YamlSyntaxError, match="expand without bound"):
        parse("\n".join(lines))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"", "is empty"),
        (b"# nothing\n---\n", "is empty"),
        (b"a: 1\n" * 200_000, "512 KiB"),
    ],
)
def test_a_file_that_cannot_be_a_cluster_file_is_refused(tmp_path, content, words):
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_documents(tmp_path / "x.yaml")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read: No such file"):
        read_documents(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_documents(tmp_path)
