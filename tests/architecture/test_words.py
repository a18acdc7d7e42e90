"""Words that the package, its documentation and its tests avoid, and how errors name options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ("mimic_ray/**/*.py",)
DOCS = (*PACKAGE, "docs/**/*.md", "*.md")
ALL = (*DOCS, "tests/**/*.py")

# Pattern -> where it is looked for, and what is clearer. "In place", "takes place" and Ray's
# "placement" stay, as do the verdict "cannot tell" and the method `tell` of Optuna.
WORDS: dict[str, tuple[tuple[str, ...], str]] = {
    r"(?<!in )(?<!into )(?<!take )(?<!takes )(?<![a-z])places?(?![a-z0-9])|(?-i:[a-z]Place)\b": (
        DOCS,
        "key, location, index, position or slot",
    ),
    r"(?<![a-z])rooms?(?![a-z])|(?-i:[a-z]Room)\b": (DOCS, "space, slots, capacity or package"),
    r"\b(?:told|telling)\b|\btell_|\b(?:do|does|did) not tell\b": (
        DOCS,
        "report, log, say or determine",
    ),
    r"\bpatient_|\bnodes_leave\b": (ALL, "what is waited for, what happens to the nodes"),
    r"\b(?:anew|somebody|nobody|whoever)\b": (ALL, "again, a user, no one"),
    r"(?<!there )\b(?-i:is|are) (?-i:no|none)(?! evidence| longer| more| \|)\b": (
        DOCS,
        "is not a; `there is no` stays",
    ),
}
# Drawn numbers depend on this text.
KEPT = '"free patch place"'

# Command line options of other programs, and of commands to paste or to store.
TOOLS = re.compile(r"\b(?:mimic-ray|hf|aws|tar|ray|kubectl|docker) [a-z{-]")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
SPEAKS_OF_OPTIONS = {
    "mimic_ray/base/errors.py": "makes the options",
    "mimic_ray/report/html_page.py": "variables of CSS",
    "mimic_ray/weight_files/export_notes.py": "a note of both: it is stored in run.json",
    "mimic_ray/workflows/cluster.py": "builds the commands of other programs",
    "mimic_ray/distributed/ray_private_node.py": "reads the command lines of Ray's processes",
}
COMMAND_LINE = ("cli", "jobs", "cluster_files")


def found(word: str, text: str) -> list[int]:
    """The numbers of the lines with the word, in any case."""
    text = text.replace(KEPT, '""')
    return [text[: hit.start()].count("\n") + 1 for hit in re.finditer(word, text, re.IGNORECASE)]


def options_in(code: str) -> Iterator[str]:
    """Command line options in the strings of a module, except for its docstrings."""
    tree = ast.parse(code)
    statements = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    ignored = {id(node) for node in statements if isinstance(node, ast.Constant)}
    inner = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = "" if id(node) in ignored | inner else node.value
        else:
            continue
        if not TOOLS.search(text):
            yield from OPTION.findall(text)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_with_a_clearer_one_is_not_used(word):
    patterns, instead = WORDS[word]
    paths = {path for pattern in patterns for path in ROOT.glob(pattern)} - {Path(__file__)}
    lines = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(paths)
        for number in found(word, path.read_text())
    ]
    assert lines == [], f"write {instead}"


def test_the_check_of_words_finds_names_and_sentences():
    places, rooms, told, *_, is_no = WORDS
    text = "ShardPlace\nplace_of\nin place\nmakes a place\ntakes place\nplacement replaces"
    assert found(places, text) == [1, 2, 4]
    assert found(rooms, "TrialRoom has room.\nhas_room\nroomy") == [1, 1, 2]
    assert found(told, "tell_cost\ncannot tell, study.tell\nit does not tell it") == [1, 3]
    assert found(is_no, "It is no file.\nThere is no file.\nIt is no longer there.") == [1]


def test_errors_name_parameters_with_option_because_python_callers_read_them_too():
    spoken = {
        name: options
        for path in sorted((ROOT / "mimic_ray").rglob("*.py"))
        if (name := path.relative_to(ROOT).as_posix()).split("/")[1] not in COMMAND_LINE
        if (options := [*options_in(path.read_text())])
    }
    assert {name: spoken[name] for name in spoken.keys() - SPEAKS_OF_OPTIONS.keys()} == {}
    assert SPEAKS_OF_OPTIONS.keys() - spoken.keys() == set(), "these have no options any more"


def test_the_check_of_options_reads_strings_and_no_docstrings():
    code = '''"""Sets --a."""\nx = f"--held-out {y} is small"\nz = "hf download {} --local-dir F"'''
    assert [*options_in(code)] == ["--held-out"]
