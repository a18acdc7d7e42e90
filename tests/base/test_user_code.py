from __future__ import annotations

import os
import re

import pytest

from mimic_ray.base import user_code
from mimic_ray.base.errors import UsageError

MINE = """
from dataclasses import dataclass

@dataclass
class Width:
    value: int = 5

def double(number):
    return 2 * number

def failing():
    text = "layer7"
    raise KeyError(text)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_an_object_of_the_users_file_is_loaded(file):
    assert user_code.load(f"{file}:double", "function")(4) == 8
    assert user_code.load(f"{file}:Width", "class")().value == 5


def test_a_relative_path_starts_at_the_working_folder_or_the_given_one(file, monkeypatch):
    with pytest.raises(UsageError, match=r"mine\.py"):
        user_code.load("mine.py:double", "function")
    with user_code.relative_to(file.parent):
        assert user_code.load("mine.py:double", "function")(1) == 2
    monkeypatch.chdir(file.parent)
    assert user_code.load("mine.py:double", "function")(1) == 2


def test_a_file_runs_once_until_it_changes(file):
    first = user_code.load(f"{file}:double", "function")
    assert user_code.load(f"{file}:double", "function") is first
    file.write_text("def double(number):\n    return number + number + 1\n")
    os.utime(file, ns=(1, 1))
    assert user_code.load(f"{file}:double", "function")(1) == 3


def test_two_files_with_the_same_name_are_separate(file, tmp_path):
    other = tmp_path / "other" / "mine.py"
    other.parent.mkdir()
    other.write_text("def double(number):\n    return 0\n")
    assert user_code.load(f"{other}:double", "function")(4) == 0
    assert user_code.load(f"{file}:double", "function")(4) == 8


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.py:f", r"The file .*nowhere\.py of the loss nowhere\.py:f does not exist"),
        ("mine.py:dubble", r'mine\.py has no "dubble": give the loss as mine\.py:NAME'),
    ],
)
def test_a_missing_file_or_name_is_named(file, monkeypatch, name, words):
    monkeypatch.chdir(file.parent)
    with pytest.raises(UsageError, match=words):
        user_code.load(name, "loss")


@pytest.mark.parametrize("code", ["def f(:", "import no_such_thing", "raise SystemExit(3)"])
def test_a_file_that_fails_is_named_with_its_error(tmp_path, code):
    path = tmp_path / "bad.py"
    path.write_text(f"\n{code}")
    with pytest.raises(UsageError, match=r"bad\.py failed with \w+"):
        user_code.load(f"{path}:f", "loss")


def test_a_syntax_error_has_its_place_once(tmp_path):
    path = tmp_path / "syn.py"
    path.write_text("\n\ndef f(:\n")
    words = f"syn.py failed with SyntaxError: invalid syntax ({path}, line 3)"
    with pytest.raises(UsageError, match=f"^{re.escape(words)}$"):
        user_code.load(f"{path}:f", "loss")


def test_a_syntax_error_in_a_file_that_it_imports_names_both(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported_syn.py").write_text("x =\n")
    path = tmp_path / "syn.py"
    path.write_text("\nimport imported_syn\n")
    words = rf"invalid syntax \(imported_syn\.py, line 1\) \({re.escape(str(path))}, line 2\)$"
    with pytest.raises(UsageError, match=words):
        user_code.load(f"{path}:f", "loss")


def test_an_error_in_the_users_function_is_reported_with_its_line(file):
    failing = user_code.load(f"{file}:failing", "function")
    line = MINE.splitlines().index("    raise KeyError(text)") + 1
    words = f"failing failed with KeyError: 'layer7' ({file}, line {line})"
    with (
        pytest.raises(UsageError, match=re.escape(words)),
        user_code.named_errors(f"{file}:failing"),
    ):
        failing()


def test_the_checksum_is_that_of_the_files_content(file):
    before = user_code.sha256_of(f"{file}:double")
    file.write_text(MINE + "\n")
    assert user_code.sha256_of(f"{file}:double") != before
