"""The options that state the input of an encoder, in every command that reads one from a file."""

from __future__ import annotations

import pytest

from mimic_ray.base.assumptions import AssumptionWarning
from mimic_ray.base.errors import UsageError
from mimic_ray.cli import options
from mimic_ray.cli.command_as_job import job_command
from tests.cli.command_lines import all_commands, required
from tests.cli.toy_images import run

STATISTICS = {"normalise", "mean", "std"}
COMMANDS = [
    name for name, command in all_commands() if STATISTICS & {p.name for p in command.params}
]


def test_the_commands_that_read_an_encoder_from_a_file_take_its_statistics():
    assert [
        *("scan", "purify", "profile", "tune", "evaluate", "compare"),
        *("attack badencoder", "attack poisoning"),
    ] == COMMANDS
    for name, command in all_commands(sorted({name.split()[0] for name in COMMANDS})):
        assert {p.name for p in command.params} >= STATISTICS, name


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--normalise", "imagnet"], "Did you mean imagenet"),
        (["--mean", "0.5"], "--mean needs --std"),
        (["--mean", "123,116,103", "--std", "58,57,57"], "divide it by 255"),
        (["--normalise", "none", "--encoder", "net.py:build"], "in your function"),
    ],
)
def test_statistics_that_cannot_be_are_refused_before_anything_is_read(
    name, words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("1 / 0")  # not run either
    assert run([*required(name), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError):
        job_command([*required(name), *words])


def test_the_encoder_of_a_job_is_found_where_the_file_is(case):
    given = {"teacher": str(case / "teacher.pth"), "normalise": None, "mean": None, "std": None}
    named = {**given, "encoder": "resnet50", "normalise": "none"}
    assert options.encoder_of_job(named, sees_paths=False) == "resnet50:normalise=none"
    unnamed = {**given, "encoder": None}
    with pytest.warns(AssumptionWarning, match="read as tiny_resnet"):
        assert options.encoder_of_job(unnamed, sees_paths=True) == "tiny_resnet"
    assert options.encoder_of_job(unnamed, sees_paths=False) is None
    away = {**unnamed, "teacher": "s3://bucket/teacher.pth"}
    assert options.encoder_of_job(away, sees_paths=True) is None
