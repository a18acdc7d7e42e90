"""A command line as a job. The first tests cover every option of every command that can be sent."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_type_hints

import pytest
import typer

from mimic_ray.base.errors import MimicError, UsageError
from mimic_ray.cli.command_as_job import find_command, job_command, job_commands
from mimic_ray.cli.option_kinds import Kind, kinds_of, label
from tests.cli.command_lines import all_commands, marked_options, required, with_value

# Text options whose values are not paths. A new text option must be marked or listed here.
PLAIN_TEXT = {
    *("setting", "search", "track", "device", "strategy", "teacher_placement"),
    *("target", "lasting", "weights", "normalise", "mean", "std"),
}
LOCAL_INPUTS = {
    Kind.CHECKPOINT: "CWD/here.pth",
    Kind.CHECKPOINT_OR_RUN: "CWD/here.pth",
    Kind.NAMED_CHECKPOINT: "name=CWD/here.pth",
    Kind.HEAD: "CWD/here.pth",
    Kind.IMAGES: "CWD/train-[0-3]?.tar",
    Kind.TRIGGER: "CWD/here.npz",
    Kind.REFERENCES: "CWD/here.npz",
    Kind.OUTPUT: "CWD/new",
}
TRAVELLING = {Kind.RECIPE: "mine.toml", Kind.ENCODER: "net.py:build"}
ELSEWHERE = (Kind.ADDRESS, Kind.NOT_IN_A_JOB)
ATTACKS = ("attack badencoder", "attack poisoning")
SENDABLE = ("scan", "purify", "profile", "tune", "evaluate", "compare", *ATTACKS)
PURIFY = required("purify")


def options(kinds):
    """The options with these kinds, of every command that can be sent."""
    return [
        pytest.param(*found, id=f"{found[0]} {label(found[1])}")
        for found in marked_options(kinds, job_commands())
    ]


@pytest.fixture
def cwd(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.toml", "net.py", ".env", "id_rsa"):
        (tmp_path / name).write_text("x")
    return tmp_path


def test_the_commands_that_can_be_sent_are_those_that_compute():
    assert tuple(name for name, _ in all_commands(job_commands())) == SENDABLE


@pytest.mark.parametrize("name", SENDABLE)
def test_every_text_option_is_marked_or_known_not_to_be_a_path(name):
    _, command, _ = find_command(name.split())
    hints = get_type_hints(inspect.unwrap(command.callback))
    for parameter in command.params:
        declared = str(hints[parameter.name])
        if "str" in declared or "Path" in declared:
            marked = parameter.name in {*kinds_of(command), *PLAIN_TEXT}
            assert marked, f"mark {label(parameter)} of {name}"


@pytest.mark.parametrize(("name", "parameter", "kind"), options(LOCAL_INPUTS))
def test_every_path_is_made_absolute_recorded_and_sent(cwd, name, parameter, kind):
    meant = LOCAL_INPUTS[kind].replace("CWD", str(cwd))
    sent = job_command(with_value(name, parameter, LOCAL_INPUTS[kind].replace("CWD/", "")))
    assert meant in sent.words
    recorded = {entry.location: entry for entry in sent.locations}[meant.removeprefix("name=")]
    assert recorded.option == label(parameter)
    assert recorded.is_output == (kind is Kind.OUTPUT)


@pytest.mark.parametrize(("name", "parameter", "kind"), options(TRAVELLING))
def test_every_small_file_is_uploaded_and_must_exist(cwd, name, parameter, kind):
    value = TRAVELLING[kind]
    sent = job_command(with_value(name, parameter, f"{cwd}/{value}"))
    assert value in sent.words
    assert {file.name for file in sent.files.values()} == {value.partition(":")[0]}
    with pytest.raises(UsageError, match="does not exist"):
        job_command(with_value(name, parameter, f"none/{value}"))


@pytest.mark.parametrize(("name", "parameter", "kind"), options([Kind.TRIGGER]))
def test_the_file_of_a_users_trigger_is_uploaded(cwd, name, parameter, kind):
    assert kind
    sent = job_command(with_value(name, parameter, f"{cwd}/net.py:dots:size=3,gap=1"))
    assert "net.py:dots:size=3,gap=1" in sent.words
    assert sent.files == {"net.py": cwd / "net.py"}


@pytest.mark.parametrize(("name", "parameter", "kind"), options({**LOCAL_INPUTS, **TRAVELLING}))
def test_every_empty_or_foreign_location_is_refused(name, parameter, kind):
    with pytest.raises(MimicError, match="is empty"):
        job_command(with_value(name, parameter, ""))
    if kind not in (Kind.ENCODER, Kind.TRIGGER):
        with pytest.raises(MimicError, match="https"):
            job_command(with_value(name, parameter, "https://host/x.toml"))


@pytest.mark.parametrize(("name", "parameter", "kind"), options(ELSEWHERE))
def test_every_option_that_a_job_sets_itself_is_refused(name, parameter, kind):
    assert kind
    words = [*required(name), label(parameter)]
    with pytest.raises(UsageError, match=label(parameter)):
        job_command(words if getattr(parameter, "is_flag", False) else [*words, "auto"])


@pytest.mark.parametrize("name", SENDABLE)
def test_the_command_line_of_a_job_parses_to_the_same_values(name):
    words = [*required(name), "--threads=2", "--device", "-odd", "--json"]
    sent = job_command(words).words
    _, command, _ = find_command(words)

    def values(line):
        context = command.make_context(name, line[len(name.split()) :])
        return {k: v for k, v in context.params.items() if k != "address"}

    assert values([*sent]) == values(words)


def test_names_are_not_files():
    sent = job_command([*PURIFY, "--recipe", "default"])
    assert not sent.files
    assert "default" in sent.words
    trigger = ["--trigger", "patch:side=3", "--references", "7", "--target", "red"]
    sent = job_command([*required("attack badencoder"), *trigger])
    assert {entry.option for entry in sent.locations} == {"--teacher", "--data", "--out"}


def test_two_files_with_the_same_name_are_refused(cwd):
    for folder in ("a", "b"):
        (cwd / folder).mkdir()
        (cwd / folder / "net.py").write_text("")
    same = [*PURIFY, "--encoder", "a/net.py:f", "--recipe", "a/net.py"]
    assert job_command(same).files == {"net.py": Path("a/net.py")}
    with pytest.raises(UsageError, match="rename one"):
        job_command([*same, "--recipe", "b/net.py"])


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (
            ["--set", "mutual_information.estimator=CWD/net.py:mine"],
            "mutual_information.estimator=net.py:mine",
        ),
        (
            ["--set", "perturbations.'net.py:mine'.probability=1"],
            "perturbations.'net.py:mine'.probability=1",
        ),
        (["--set", 'x=["net.py:a","patch"]'], 'x=["net.py:a","patch"]'),
    ],
)
def test_files_with_user_code_are_uploaded_for_every_option_that_names_them(cwd, words, there):
    sent = job_command([*PURIFY, *(word.replace("CWD", str(cwd)) for word in words)])
    assert there in sent.words
    assert sent.files.keys() == {"net.py"}
    with pytest.raises(UsageError, match=r"--set: absent\.py does not exist"):
        job_command(
            [
                *PURIFY,
                *(
                    word.replace("CWD/net", "absent").replace("net.py", "absent.py")
                    for word in words
                ),
            ]
        )


def test_files_that_a_recipe_names_are_uploaded_with_it(cwd):
    (cwd / "mine.toml").write_text('[mutual_information]\nestimator = "net.py:mine"\n')
    assert job_command([*PURIFY, "--recipe", "mine.toml"]).files.keys() == {"mine.toml", "net.py"}
    (cwd / "mine.toml").write_text('[mutual_information]\nestimator = "parts/net.py:mine"\n')
    with pytest.raises(UsageError, match="a job has all files in one folder"):
        job_command([*PURIFY, "--recipe", "mine.toml"])


def test_the_job_uses_the_cluster_that_it_is_sent_to():
    assert job_command(PURIFY).words[-2:] == ["--address", "auto"]
    assert job_command(PURIFY).spreads
    evaluate = job_command(required("evaluate"))
    assert not evaluate.spreads
    assert "--address" not in evaluate.words


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_workers_are_refused_for_commands_that_have_none(command):
    with pytest.raises(UsageError, match=f"{command} takes no --workers: remove it"):
        job_command(required(command), workers="3")


def test_a_share_of_a_gpu_is_for_commands_that_take_one():
    sent = job_command(required("tune"), gpus_per_worker=0.25)
    assert sent.words[-2:] == ["--gpus-per-worker", "0.25"]
    assert sent.resources.each()["GPU"] == 0.25
    assert job_command(PURIFY, gpus_per_worker=2.0).words[-1] == "2"
    with pytest.raises(typer.BadParameter):
        job_command(PURIFY, gpus_per_worker=0.25)


def test_resources_before_the_dashes_become_those_of_the_command():
    sent = job_command(PURIFY, workers="1-3", cpus_per_worker=2, gpus_per_worker=1)
    assert sent.words[-8:] == [
        *("--address", "auto", "--workers", "1-3"),
        *("--gpus-per-worker", "1", "--cpus-per-worker", "2"),
    ]
    assert (sent.resources.required_workers, sent.resources.workers) == (1, 3)
    assert sent.resources.each() == {"CPU": 2, "GPU": 1}


@pytest.mark.parametrize("own", [["--workers", "4"], ["--workers=4"]])
def test_resources_of_the_command_itself_are_not_repeated(own):
    sent = job_command([*PURIFY, *own], workers="4")
    assert sum("--workers" in word for word in sent.words) == 1
    assert sent.resources.workers == 4


def test_resources_that_differ_are_refused_with_both():
    with pytest.raises(UsageError, match="--workers is 2 before the -- and 3 after it"):
        job_command([*PURIFY, "--workers", "3"], workers="2")


def test_a_job_waits_for_nodes_unless_the_command_line_says_how_long():
    option = job_command(PURIFY).capacity_option
    assert option.startswith("--wait-for-")
    assert job_command([*PURIFY, f"{option}=60"]).capacity_option == ""
    assert job_command(required("evaluate")).capacity_option == ""


def test_the_statistics_of_the_input_are_sent():
    stated = ["--mean", "0.1,0.2,0.3", "--std", "0.4"]
    sent = job_command(["profile", "--teacher", "s3://b/a.pth", "--data", "s3://b/c", *stated])
    words = [*sent.words]
    assert words[words.index("--mean") :][:4] == stated
    assert "--encoder" not in sent.words
