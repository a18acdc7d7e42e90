"""The table of commands: help, version, completion."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mimic_ray
from mimic_ray.cli.app import COMMANDS
from tests.cli.command_lines import all_commands
from tests.cli.toy_images import run


@pytest.mark.parametrize("words", [name.split() for name, _ in all_commands()])
def test_every_command_shows_its_help(words, capsys):
    assert run([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: mimic-ray {' '.join(words)}" in shown


def test_the_help_lists_every_command_and_the_exit_codes(capsys):
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert "Exit codes" in shown


def test_version_prints_the_version_of_the_package(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"mimic-ray {mimic_ray.__version__}\n"


def test_the_error_of_an_unknown_command_suggests_a_similar_one(capsys):
    assert run(["purfy"]) == 2
    assert "Did you mean purify?" in capsys.readouterr().err


COMPLETION = """
import os, sys
from mimic_ray.cli.app import main
try:
    main()
finally:
    print(sorted({"torch", "ray", "timm", "pyarrow"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("mimic-ray pur", "purify"), ("mimic-ray purify --work", "--workers")],
)
def test_a_shell_completes_commands_and_options_without_torch(typed, offered):
    """Sets the variables that Typer's completion script sets in bash."""
    environment = {
        "_MIMIC_RAY_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", COMPLETION], env=environment, capture_output=True, text=True
    )
    assert offered in done.stdout.split(), done.stderr
    assert done.stderr.strip() == "[]"


def test_the_completion_script_can_be_shown():
    done = subprocess.run(
        [sys.executable, "-c", COMPLETION.replace("main()", "main(['--show-completion', 'bash'])")],
        capture_output=True,
        text=True,
        env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert "_MIMIC_RAY_COMPLETE" in done.stdout
    assert done.stderr.strip() == "[]"
