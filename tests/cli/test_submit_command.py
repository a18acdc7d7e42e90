"""`submit` with a fake job server: the request, and the output before and after it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from mimic_ray.jobs.job_client import Job
from tests.cli.fake_jobs import fake_server
from tests.cli.toy_images import run

EVALUATE = [
    "evaluate",
    "--test",
    "s3://b/d",
    "--train",
    "s3://b/d",
    "--encoder",
    "net.py:f",
    "a.pth",
]

NET = """
from mimic_ray.encoders.encoder_registry import build


def f():
    return build("tiny_resnet")
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "a.pth").write_text("x")
    return fake_server(monkeypatch)


def test_a_command_is_sent_with_absolute_paths_its_files_and_its_resources(jobs, tmp_path, capsys):
    words = ["submit", "--name", "first", "--cpus-per-worker", "2", "--gpus-per-worker", "1"]
    copied = {}
    jobs.submit = with_copies(jobs.submit, copied)
    assert run([*words, "--env", "A=1", "--pending-timeout", "0", "--", *EVALUATE]) == 0
    (sent,) = jobs.sent
    started = shlex.split(sent.entrypoint)
    assert started[:4] == ["/env/python", "-m", "mimic_ray", "evaluate"]
    assert f"a.pth={tmp_path}/a.pth" in started
    assert "net.py:f" in started
    assert copied == {"net.py": NET}
    assert (sent.name, sent.cpus, sent.gpus, sent.environment["env_vars"]["A"]) == (
        "first",
        2,
        1,
        "1",
    )
    shown = capsys.readouterr()
    assert "Job         first: mimic-ray evaluate" in shown.err
    assert "PENDING after 0 s" in shown.err
    assert "mimic-ray status first" in shown.out


def with_copies(submit, copied):
    """Copies the uploaded files, whose folder is removed when the command ends."""

    def keeping(name, entrypoint, **how):
        folder = Path(how["environment"]["working_dir"])
        copied.update({path.name: path.read_text() for path in folder.iterdir()})
        submit(name, entrypoint, **how)

    return keeping


def test_a_job_on_an_autoscaling_cluster_waits_for_its_nodes(jobs):
    purify = ["purify", "--encoder", "vit_b16", "--teacher", "a.pth"]
    purify += ["--data", "s3://b/d", "--out", "s3://b/o"]
    assert run(["submit", "--workers", "2", "--pending-timeout", "0", "--", *purify]) == 0
    (sent,) = jobs.sent
    assert sent.entrypoint.endswith("--address auto --workers 2 --wait-for-capacity 1800")
    assert (sent.cpus, sent.gpus) == (0, 0)
    assert sent.metadata["out"] == "s3://b/o"


def test_a_job_of_the_same_name_is_not_sent_again(jobs, capsys):
    jobs.by_name["first"] = Job("first", "RUNNING", metadata={"command": "mimic-ray tune"})
    assert run(["submit", "--name", "first", "--json", "--", *EVALUATE]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"job": "first", "state": "RUNNING", "fresh": False}
    assert "the job of that name is running mimic-ray tune" in shown.err
    assert not jobs.sent
    jobs.by_name["first"] = Job("first", "FAILED", exit_code=1)
    assert run(["submit", "--name", "first", "--json", "--", *EVALUATE]) == 2
    assert "use another --name" in capsys.readouterr().err


def test_a_job_that_left_nothing_does_not_take_its_name(jobs, capsys):
    jobs.by_name["first"] = Job("first", "FAILED", exit_code=2)
    assert run(["submit", "--name", "first", "--pending-timeout", "0", "--", *EVALUATE]) == 0
    assert "the job of that name (FAILED) left nothing and is replaced" in capsys.readouterr().err
    assert [sent.name for sent in jobs.sent] == ["first"]


def test_what_the_command_would_refuse_is_not_sent(
    jobs, purify_arguments, undisturbed, tmp_path, capsys
):
    finished = undisturbed(12)
    for words, expected in (
        (purify_arguments(tmp_path / "run", "--set", "training.batch=99"), "99"),
        (purify_arguments(tmp_path / "run", "--set", "training.stepz=9"), "training.stepz"),
        (purify_arguments(finished), "set another --out"),
        (purify_arguments(finished, "--resume", steps=13), "training.steps was 12, is 13 now"),
        (purify_arguments(tmp_path / "run", "--resume"), "is not a run folder"),
    ):
        assert run(["submit", "--workers", "1", "--", *words]) in (1, 2), words
        assert expected in capsys.readouterr().err
    assert jobs.sent == []
    same = purify_arguments(finished, "--resume")
    assert run(["submit", "--pending-timeout", "0", "--", *same]) == 0
    assert len(jobs.sent) == 1


def test_paths_of_other_machines_are_left_to_the_job(jobs, purify_arguments):
    words = purify_arguments(Path("/shared/run"), "--data", "/shared/d", "--teacher", "/shared/t")
    assert run(["submit", "--shared", "/shared", "--pending-timeout", "0", "--", *words]) == 0
    assert len(jobs.sent) == 1


@pytest.mark.parametrize(
    ("state", "of_driver", "code"),
    [("SUCCEEDED", 0, 0), ("FAILED", 1, 1), ("SUCCEEDED", 3, 3)],
)
def test_waiting_with_json_keeps_the_log_off_stdout(jobs, capsys, state, of_driver, code):
    """The exit code is that of a verdict, if the job was a scan."""
    submit = jobs.submit

    def ends(name, entrypoint, **how):
        submit(name, entrypoint, **how)
        jobs.by_name[name] = Job(name, state, exit_code=of_driver)

    jobs.submit = ends
    assert run(["submit", "--name", "n", "--wait", "--json", "--", *EVALUATE]) == code
    shown = capsys.readouterr()
    assert json.loads(shown.out)["state"] == state
    assert "line 1\nline 2\n" in shown.err


@pytest.mark.usefixtures("jobs")
def test_quiet_prints_only_where_to_look(capsys):
    assert run(["-q", "submit", "--pending-timeout", "0", "--", *EVALUATE]) == 0
    assert capsys.readouterr().err == ""
