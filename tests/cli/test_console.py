"""The end of a command: one sentence, an exit code, and with --json an object."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from mimic_ray.base import errors
from mimic_ray.base.errors import MimicError, UsageError, option
from mimic_ray.base.progress import Progress
from mimic_ray.cli import console
from tests.cli.toy_images import run

# Class -> exit code. Every new class must be added here.
CODES = {
    "MimicError": 1,
    "UsageError": 2,
    "UnknownNameError": 2,
    "RecipeError": 2,
    "CheckpointError": 1,
    "NotACheckpointError": 1,
    "DamagedCheckpointError": 1,
    "UnsafeCheckpointError": 1,
    "TooLargeCheckpointError": 1,
    "MissingCheckpointError": 2,
    "WrongEncoderError": 2,
    "DataError": 1,
    "MissingDataError": 2,
    "BrokenImageError": 1,
    "UnreadImageError": 1,
    "StorageError": 1,
    "MissingObjectError": 2,
    "StorageAwayError": 1,
    "RunFolderError": 1,
    "WrongFolderError": 2,
    "DiskError": 1,
    "DiskFullError": 1,
    "ResourceError": 1,
    "TrainingError": 1,
    "DivergedError": 1,
    "StoppedError": 130,
}
CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, MimicError)
}
ARGUMENTS = {"UnknownNameError": ("kind", "name"), "RecipeError": ("file.toml", ["bad"])}


@pytest.fixture
def fails(monkeypatch):
    """Makes `mimic-ray list` raise an error; returns its exit code with the given options."""

    def ends(error, *options):
        def command(json: bool = False) -> None:  # noqa: ARG001 - an option
            raise error

        monkeypatch.setattr("mimic_ray.cli.list_command.command", command)
        return run(["list", *options])

    return ends


def test_the_table_has_every_class_of_error():
    assert CODES.keys() == CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_error_has_its_exit_code_one_sentence_and_an_object(fails, capsys, name):
    error = CLASSES[name](*ARGUMENTS.get(name, ("What went wrong.",)))
    assert fails(error, "--json") == CODES[name]
    shown = capsys.readouterr()
    sentence = error.for_command_line()
    assert shown.err == ("" if name == "StoppedError" else "error: ") + f"{sentence}\n"
    assert json.loads(shown.out) == {
        "error": {"kind": name, "message": sentence, "exit_code": CODES[name]}
    }


def test_sigterm_ends_with_143(fails):
    assert fails(errors.StoppedError("Stopped.", 15)) == 143


def test_without_json_stdout_stays_empty(fails, capsys):
    assert fails(UsageError(f"{option('workers', 0)} must be positive.")) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: --workers 0 must be positive.\n"


def test_names_that_look_like_markup_or_emoji_are_printed_as_they_are(fails, capsys):
    name = "s[red]:fire:[/bold]"
    assert fails(UsageError(f"{name} is missing.")) == 2
    console.out.print(f"Written to {name}")
    console.err.print(name)
    shown = capsys.readouterr()
    assert shown.err == f"error: {name} is missing.\n{name}\n"
    assert shown.out == f"Written to {name}\n"


def test_an_unexpected_error_is_reported_as_a_bug_and_ends_with_1(fails, capsys):
    assert fails(ZeroDivisionError("by zero"), "--json") == 1
    shown = capsys.readouterr()
    assert "bug in mimic-ray" in shown.err
    assert json.loads(shown.out)["error"]["kind"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "/r/a"), "/r/a: Permission denied. This user"),
        (OSError(24, "Too many open files"), "error: Too many open files. Raise the limit"),
        (OSError(12, "Cannot allocate memory"), "too little memory"),
        (FileNotFoundError(2, "No such file or directory", "/r"), "/r: No such file or directory."),
        (OSError("something of a library"), "something of a library. The operating system"),
        (TimeoutError(), "TimeoutError. The operating system refused this"),
    ],
)
def test_what_the_operating_system_refuses_is_no_bug_of_ours(fails, capsys, error, words):
    assert fails(error, "--json") == 1
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.err.count("\n") == 1
    assert "bug in mimic-ray" not in shown.err
    assert json.loads(shown.out)["error"]["kind"] == type(error).__name__


def test_ctrl_c_ends_with_130(fails, capsys):
    assert fails(KeyboardInterrupt(), "--json") == 130
    shown = capsys.readouterr()
    assert shown.err == "Stopped by Ctrl-C.\n"
    assert json.loads(shown.out)["error"]["exit_code"] == 130


@pytest.mark.parametrize(
    "words",
    [
        ["purfy"],
        ["purify", "--json"],
        ["purify", "--stepz", "5", "--json"],
        ["shards", "pack"],
        ["plan", "--encoder", "resnet18", "--gpus", "many", "--json"],
        ["submit", "--json", "--", "purfy"],
        ["--nonsense"],
    ],
)
def test_errors_of_typer_end_with_2(capsys, words):
    assert run(words) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    if "--json" in words:
        assert json.loads(shown.out)["error"]["message"] in shown.err
    else:
        assert shown.out == ""


def test_json_after_the_dashes_belongs_to_the_job(capsys):
    assert run(["submit", "--", "purify", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_a_missing_file_ends_with_2(tmp_path, capsys):
    assert run(["inspect", tmp_path / "none.pth", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "MissingCheckpointError"


def test_a_result_is_not_followed_by_an_error_object(monkeypatch, capsys):
    def command(json: bool = False) -> None:  # noqa: ARG001 - an option
        console.print_json({"result": 1})
        raise MimicError("It does not fit.")

    monkeypatch.setattr("mimic_ray.cli.list_command.command", command)
    assert run(["list", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"result": 1}


@pytest.mark.parametrize("prints", ["console.out.print('x')", "console.print_json({})"])
def test_a_closed_stdout_is_not_an_error(prints):
    read, write = os.pipe()
    os.close(read)
    program = f"""
from mimic_ray.cli import app, console, list_command
def command(): {prints}
list_command.command = command
app.main(["list"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert done.returncode == 0
    assert done.stderr == ""


def test_quiet_suppresses_notes_and_progress_but_not_errors(monkeypatch, capsys):
    def command() -> None:
        console.note("a note")
        assert not console.is_interactive()
        console.out.print("the result")
        raise MimicError("an error")

    monkeypatch.setattr("mimic_ray.cli.list_command.command", command)
    monkeypatch.setenv("MIMIC_RAY_PROGRESS_S", "0")
    assert run(["--quiet", "list"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "the result\n"
    assert shown.err == "error: an error\n"
    assert run(["list"]) == 1
    assert "a note\n" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "printed"), [("", 2), ("0", 3), ("inf", 0)])
def test_without_a_terminal_progress_is_lines_on_stderr(monkeypatch, capsys, text, printed):
    def command(json: bool = False) -> None:  # noqa: ARG001 - an option
        with console.progress() as on_progress:
            for step in (1, 2, 3):
                on_progress(Progress("distil", step, 3))
        console.print_json({"step": 3})

    monkeypatch.setattr("mimic_ray.cli.list_command.command", command)
    monkeypatch.setenv("MIMIC_RAY_PROGRESS_S", text)
    assert run(["list", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"step": 3}
    assert shown.err.count("Distilling: ") == shown.err.count("\n") == printed


@pytest.mark.parametrize("text", ["often", "-1", "nan"])
def test_an_interval_that_is_no_number_of_seconds_is_refused(monkeypatch, capsys, text):
    def command() -> None:
        with console.progress():
            raise AssertionError

    monkeypatch.setattr("mimic_ray.cli.list_command.command", command)
    monkeypatch.setenv("MIMIC_RAY_PROGRESS_S", text)
    assert run(["list"]) == 2
    assert f'MIMIC_RAY_PROGRESS_S is "{text}"' in capsys.readouterr().err


def test_debug_shows_the_traceback(fails, capsys, monkeypatch):
    error = UsageError("wrong")

    def command() -> None:
        raise error

    monkeypatch.setattr("mimic_ray.cli.list_command.command", command)
    assert run(["--debug", "list"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert fails(error) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_the_library_logs_is_a_note_of_the_command_only(capsys, caplog):
    logger = logging.getLogger("mimic_ray.images")
    with console.reported_errors(["info"]):
        for _ in range(2):
            logger.warning("Left out: %s", "[b]a[/b].txt")
        console.mode.quiet = True
        logger.warning("not shown")
    console.mode.quiet = False
    assert capsys.readouterr().err == "note: Left out: [b]a[/b].txt\n"
    assert caplog.messages == []
    logger.warning("for other programs")
    assert caplog.messages == ["for other programs"]
