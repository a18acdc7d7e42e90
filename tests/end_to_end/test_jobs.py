"""Jobs on a real head with a token: submitted, followed and stopped; what is uploaded."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

NEVER = (".env", "id_rsa", ".git", "data")
MARK = "this-must-never-leave"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A user's working folder, with private files and with a recipe that a job uses."""
    folder = tmp_path_factory.mktemp("desk")
    for name in NEVER[:2]:
        (folder / name).write_text(MARK)
    for name in NEVER[2:]:
        (folder / name).mkdir()
        (folder / name / "content").write_text(MARK)
    recipe = Path(__file__).parents[2] / "configs" / "default.toml"
    (folder / "mine.toml").write_text(recipe.read_text())
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "run"


@pytest.fixture(scope="module")
def sent(head, desk, out, purify_arguments):
    """The words of a submitted purification; it goes on with the tests."""
    words = [
        *("submit", "--address", head.url, "--name", "first", "--"),
        *purify_arguments(out, "--recipe", "mine.toml"),
    ]
    done = head.mimic_ray(*words, cwd=desk)
    assert done.returncode == 0, done.stderr
    assert f"{head.url} (from --address), token in {head.token}" in done.stderr
    return words


@pytest.fixture(scope="module")
def followed(head, sent):
    """The job's log, to its end."""
    assert sent
    return head.mimic_ray("logs", "first", "--follow", "--address", head.url)


@pytest.mark.slow
def test_the_same_name_sends_nothing_while_it_runs(head, desk, sent):
    again = head.mimic_ray(*sent, cwd=desk)
    assert again.returncode == 0, again.stderr
    assert "The job already exists" in again.stderr


def test_following_ends_with_the_job_and_its_result(followed, out):
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert "first: SUCCEEDED, exit code 0" in followed.stderr
    assert (out / "student.safetensors").is_file()
    lines = [line for line in followed.stdout.splitlines() if line.startswith("Purified in")]
    assert len(lines) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("followed")
def test_status_shows_the_progress_of_the_run(head, out):
    done = head.mimic_ray("status", "first", "--json", "--address", head.url)
    facts = json.loads(done.stdout)
    assert facts["state"] == "SUCCEEDED"
    assert facts["metadata"]["out"] == str(out)
    assert facts["run"]["step"] == facts["run"]["steps"] == 12
    assert facts["run"]["status"] == "finished"
    shown = head.mimic_ray("status", "first", "--address", head.url).stdout
    assert "12 of 12" in shown


@pytest.mark.usefixtures("followed")
def test_the_working_folder_is_not_uploaded(head):
    """Neither by name nor by content, wherever the head keeps what jobs brought along."""
    brought = [p for p in head.folder.rglob("runtime_resources/**/*") if p.is_file()]
    assert [p for p in brought if p.name == "mine.toml"], "the recipe travels"
    assert [p for p in brought if p.parts[-2:] == ("mimic_ray", "__main__.py")]
    assert not [p for p in brought if p.name in NEVER[:3]]
    mark = MARK.encode()
    assert not [p for p in brought if mark in p.read_bytes()]


@pytest.mark.slow
@pytest.mark.usefixtures("followed")
def test_the_name_of_an_ended_job_is_refused_with_advice(head, desk, sent):
    done = head.mimic_ray(*sent, cwd=desk)
    assert done.returncode == 2
    assert "another --name" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("followed")
def test_list_shows_the_job(head):
    jobs = json.loads(head.mimic_ray("list", "--json", "--address", head.url).stdout)
    assert ("first", "SUCCEEDED") in [(job["id"], job["state"]) for job in jobs]


def test_a_wrong_token_and_a_missing_token_are_sentences(head):
    wrong = head.mimic_ray("list", "--address", head.url, RAY_AUTH_TOKEN="f" * 64)
    none = head.mimic_ray("list", "--address", head.url, RAY_AUTH_TOKEN_PATH="")
    for done, word in ((wrong, "refuses the token in RAY_AUTH_TOKEN"), (none, "requires a token")):
        assert done.returncode == 1
        assert word in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("sent")
def test_an_unknown_job_is_answered_with_a_similar_name(head):
    for command in ("status", "stop"):
        done = head.mimic_ray(command, "frist", "--address", head.url)
        assert done.returncode == 2
        assert 'no job "frist"' in done.stderr
        assert "first" in done.stderr


@pytest.mark.slow
def test_more_workers_than_fit_are_refused_with_the_numbers(head, purify_arguments, out):
    more = ("--workers", "3", "--cpus-per-worker", "1")
    done = head.mimic_ray("submit", "--address", head.url, *more, "--", *purify_arguments(out))
    assert done.returncode == 1
    assert "fits 2 workers" in done.stderr


@pytest.mark.slow
def test_stop_stops_a_running_job(head, tmp_path, purify_arguments):
    place = ("--address", head.url)
    words = purify_arguments(tmp_path / "run", steps=100_000)
    done = head.mimic_ray("submit", *place, "--name", "long", "--", *words)
    assert done.returncode == 0, done.stderr
    stopped = head.mimic_ray("stop", "long", *place)
    assert stopped.returncode == 0, stopped.stderr
    assert "long: STOPPED" in stopped.stdout


@pytest.mark.slow
def test_a_failed_job_shows_its_reason_and_exits_with_1(head, case, tmp_path):
    """Broken images show only when they are decoded, which is not done before a job is sent."""
    broken = tmp_path / "images"
    shutil.copytree(case / "images", broken)
    for image in broken.iterdir():
        image.write_bytes(image.read_bytes()[:60])
    words = [
        *("purify", "--encoder", "tiny_resnet", "--teacher", str(case / "teacher.pth")),
        *("--data", str(broken), "--out", str(tmp_path / "run")),
        *("--set", "training.batch=8", "--set", "training.steps=12"),
    ]
    place = ("--address", head.url)
    done = head.mimic_ray("submit", *place, "--name", "bad", "--wait", "--", *words)
    assert done.returncode == 1
    assert "bad: FAILED, exit code 1" in done.stderr
    assert "image file is truncated" in done.stdout
    shown = head.mimic_ray("status", "bad", *place).stdout
    assert "exit code 1" in shown
    assert "image file is truncated" in shown


@pytest.mark.slow
def test_ctrl_c_stops_following_and_names_the_command_to_continue(head, tmp_path, purify_arguments):
    place = ("--address", head.url)
    words = purify_arguments(tmp_path / "run", steps=100_000)
    head.mimic_ray("submit", *place, "--name", "left", "--", *words)
    following = subprocess.Popen(
        [sys.executable, "-m", "mimic_ray", "logs", "left", "--follow", *place],
        env=head.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout
    assert following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, stderr = following.communicate(timeout=30)
    assert following.returncode == 130
    assert f"mimic-ray logs left --follow --address {head.url}" in stderr
    facts = json.loads(head.mimic_ray("status", "left", "--json", *place).stdout)
    assert facts["state"] == "RUNNING"
    assert head.mimic_ray("stop", "left", *place).returncode == 0


@pytest.mark.slow
def test_status_shows_that_the_workers_of_a_running_job_wait(head, tmp_path, purify_arguments):
    """Ray calls a job RUNNING as soon as its driver is, however long its workers wait."""
    place = ("--address", head.url, "--cpus-per-worker", "2")
    deadline = time.monotonic() + 240
    for name in ("holder", "waiter"):
        words = purify_arguments(tmp_path / name, steps=100_000)
        done = head.mimic_ray("submit", *place, "--name", name, "--", *words)
        assert done.returncode == 0, done.stderr
        steps = tmp_path / "holder" / "metrics.jsonl"
        while not steps.exists() and time.monotonic() < deadline:
            time.sleep(0.5)
    facts = {}
    while not facts.get("waits_for") and time.monotonic() < deadline:
        shown = head.mimic_ray("status", "waiter", "--json", *place[:2])
        facts = json.loads(shown.stdout)
    for name in ("waiter", "holder"):
        head.mimic_ray("stop", name, *place[:2])
    assert facts["state"] == "RUNNING"
    assert "2 CPU" in facts["waits_for"]
