"""A real purification whose run folder is in object storage, on lines that fail and with kills.

What must hold whatever happened: only whole checkpoints are seen, and the same command with
--resume ends with the weights of a run on a disk that was not disturbed, bit for bit.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import load

from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import DamagedCheckpointError, RunFolderError
from mimic_ray.base.storage import open_storage
from mimic_ray.execution.export import load_encoder
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.progress_file import read_progress
from mimic_ray.store.run_store import open_run
from tests.end_to_end.forked_runs import EVERY, STEPS, Runs, runs_below
from tests.store.flaky_s3 import Door, door

SECRET = "local-s3-password"


@pytest.fixture(scope="module")
def line(s3_server):
    """The door through which runs reach the server."""
    with door(s3_server["AWS_ENDPOINT_URL"]) as made:
        yield made


@pytest.fixture(scope="module")
def remote_runs(s3_server, line, tmp_path_factory):
    """Small runs, as those of test_killed.py, that know the server."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", line.endpoint)
        with runs_below(tmp_path_factory.mktemp("remote")) as found:
            yield found


class Case:
    """Runs below one new bucket. What the test itself asks goes past the door."""

    def __init__(self, runs: Runs, line: Door, bucket: str) -> None:
        self.runs, self.line, self.bucket = runs, line, bucket
        self.numbers = itertools.count()

    def new(self) -> str:
        return f"{self.bucket}/run-{next(self.numbers)}"

    def log(self) -> str:
        return (self.runs.place / "log").read_text()

    def check(self, out: str) -> None:
        """Raises where the latest checkpoint is not whole."""
        run = open_run(out, "test")
        run.fetch()
        if found := latest(run.folder):
            assert found.step % EVERY == 0
            assert found.instead_of is None
        run.store.close()

    def finish(self, out: str) -> None:
        """Resumes, or starts again what never began, and compares with the undisturbed run."""
        resume = ["--resume"] if open_storage(out).exists("run.json") else []
        ended = self.runs.run(out, *resume)
        assert ended.status == 0, self.log()
        assert weights(out) == self.runs.undisturbed

    def killed_at(self, monkeypatch, out: str, request: int) -> bool:
        """A run that is killed when that request comes; False if it ended before."""
        started = threading.Event()
        coming, child = itertools.count(1), []

        def fault() -> str:
            if next(coming) == request:
                started.wait(10)
                with suppress(ProcessLookupError):
                    os.kill(child[0], signal.SIGKILL)
                return "broken before" if request % 2 else ""
            return ""

        with monkeypatch.context() as patch:
            patch.setattr(self.line, "fault", fault)
            child.append(self.runs.start(out))
            started.set()
            ended = self.runs.end()
        return bool(ended.status == -signal.SIGKILL)

    def requests(self, monkeypatch) -> int:
        """How many an undisturbed run makes."""
        count = itertools.count(1)
        with monkeypatch.context() as patch:
            patch.setattr(self.line, "fault", lambda: "" * next(count))
            assert self.runs.run(self.new()).status == 0, self.log()
        return next(count) - 1


@pytest.fixture
def remote(remote_runs, line, bucket, tmp_path, monkeypatch) -> Case:
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    line.away, line.rate = False, 0.0
    return Case(remote_runs, line, bucket)


def weights(out: str) -> dict[str, bytes]:
    tensors = load(open_storage(out).read_bytes("student.safetensors"))
    return {key: tensor.numpy().tobytes() for key, tensor in tensors.items()}


def names(out: str) -> set[str]:
    return {found.name for found in open_storage(out).list()}


def test_a_remote_run_has_the_files_and_the_bits_of_a_local_one(remote):
    out = remote.new()
    assert remote.runs.run(out).status == 0, remote.log()
    assert weights(out) == remote.runs.undisturbed
    local = remote.runs.place / "whole"
    expected = {p.relative_to(local).as_posix() for p in local.rglob("*") if p.is_file()}
    # The names of TensorBoard's files have the time in them.
    changing = ("checkpoints/", "tensorboard/")
    plain = {name for name in expected if not name.startswith(changing)}
    found = names(out)
    assert {name for name in found if not name.startswith(changing)} == plain
    assert any(name.startswith("tensorboard/") for name in found)
    steps = {name.split("/")[1] for name in found if name.startswith("checkpoints/step-")}
    assert sorted(name[:11] for name in steps) == ["step-000008", "step-000012"]

    storage = open_storage(out)
    assert json.loads(storage.read_bytes("run.json"))["status"] == "finished"
    for name in found:
        assert SECRET.encode() not in storage.read_bytes(name), name
    live = read_progress(out)
    assert live is not None
    assert (live.step, live.committed_step, live.status) == (STEPS, STEPS, "finished")
    card = storage.read_bytes("README.md").decode()
    assert f"load_encoder('{out}')" in card
    assert str(remote.runs.place / "cache") not in card
    encoder = load_encoder(out)
    for key, weight in encoder.net.state_dict().items():
        assert weight.numpy().tobytes() == remote.runs.undisturbed[key]
    # What the work and the reading needed on this machine is gone.
    assert [p for p in (cache_dir() / "runs").rglob("*") if p.is_file()] == []
    assert [p for p in (remote.runs.place / "cache" / "runs").rglob("*") if p.is_file()] == []


@pytest.mark.slow
def test_a_finished_remote_run_is_recognised_and_another_refused(remote):
    out = remote.new()
    assert remote.runs.run(out).status == 0, remote.log()
    before = {found.name: found.modified_s for found in open_storage(out).list()}
    assert remote.runs.run(out).status == 2
    assert f"{out} holds another run" in remote.log()
    assert remote.runs.run(out, "--resume").status == 0, remote.log()
    assert "already finished" in remote.log()
    assert remote.runs.run(out, "--resume", "--set", "training.seed=9").status == 2
    assert "training.seed" in remote.log()
    after = {found.name: found.modified_s for found in open_storage(out).list()}
    assert {n: t for n, t in after.items() if n != "ray.log"} == before


@pytest.mark.slow
def test_weights_that_were_harmed_in_the_bucket_are_named(remote):
    out = remote.new()
    assert remote.runs.run(out).status == 0, remote.log()
    storage = open_storage(out)
    flipped = bytearray(storage.read_bytes("student.safetensors"))
    flipped[-1] ^= 1
    storage.write("student.safetensors", bytes(flipped))
    with pytest.raises(DamagedCheckpointError, match=f"{out}/student.safetensors is damaged"):
        load_encoder(out)
    assert remote.runs.run(out, "--resume").status == 1
    assert f"{out}/student.safetensors" in remote.log().replace("\n", "")
    with pytest.raises(RunFolderError, match=f"{remote.bucket}/nothing is not a run folder"):
        load_encoder(f"{remote.bucket}/nothing")


@pytest.mark.slow
def test_a_remote_run_killed_at_a_request_ends_as_if_it_had_not_been(remote, monkeypatch):
    # A run makes some 200; the slow test leaves none out.
    out, request = remote.new(), random.Random(3).randrange(30, 130)
    assert remote.killed_at(monkeypatch, out, request), request
    remote.check(out)
    remote.finish(out)


@pytest.mark.slow
def test_a_remote_run_killed_at_many_requests_ends_as_if_it_had_not_been(remote, monkeypatch):
    total = remote.requests(monkeypatch)
    killed = 0
    chosen = random.Random(5).sample(range(1, total + 1), 25)
    for request in chosen:
        out = remote.new()
        killed += remote.killed_at(monkeypatch, out, request)
        remote.check(out)
        remote.finish(out)
    assert killed >= 23  # the number of requests differs a little from run to run


@pytest.mark.slow
def test_a_remote_run_killed_at_random_times_ends_as_if_it_had_not_been(remote):
    chance = random.Random(1)
    for _ in range(10):
        out = remote.new()
        for more in ([], ["--resume"]):
            if more and not open_storage(out).exists("run.json"):
                more = []
            child = remote.runs.start(out, *more)
            time.sleep(chance.uniform(0, 1.2 * remote.runs.seconds))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            remote.runs.end()
            remote.check(out)
        remote.finish(out)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_bad_line_does_not_move_a_bit(remote, seed):
    out = remote.new()
    remote.line.fail(seed, 0.15)
    ended = remote.runs.run(out)
    remote.line.rate = 0.0
    assert ended.status == 0, remote.log()
    assert weights(out) == remote.runs.undisturbed
    remote.check(out)


@pytest.mark.slow
def test_a_run_waits_for_a_storage_that_is_away_for_a_while(remote, monkeypatch):
    out = remote.new()
    coming, away_until = itertools.count(1), []

    def fault() -> str:
        if next(coming) == 30:
            away_until.append(time.monotonic() + 4)
        return "503" if away_until and time.monotonic() < away_until[0] else ""

    monkeypatch.setattr(remote.line, "fault", fault)
    assert remote.runs.run(out).status == 0, remote.log()
    assert weights(out) == remote.runs.undisturbed


@pytest.mark.slow
def test_a_flipped_byte_in_an_object_is_named(remote, monkeypatch):
    out = remote.new()
    total = remote.requests(monkeypatch)
    assert remote.killed_at(monkeypatch, out, 2 * total // 3)
    storage = open_storage(out)
    newest = json.loads(storage.read_bytes("checkpoints/latest.json"))["steps"][0]["folder"]
    for name in ("tensors.safetensors", "state.json", "manifest.json"):
        whole = storage.read_bytes(f"checkpoints/{newest}/{name}")
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        storage.write(f"checkpoints/{newest}/{name}", bytes(flipped))
        assert remote.runs.run(out, "--resume").status == 1
        assert f"{out}/checkpoints/{newest}/{name}" in remote.log().replace("\n", "")
        storage.write(f"checkpoints/{newest}/{name}", whole)
    remote.finish(out)


@pytest.mark.slow
def test_a_step_that_somebody_removed_is_made_again(remote, monkeypatch):
    out = remote.new()
    total = remote.requests(monkeypatch)
    # The last commit is done, the results are not there yet.
    for request in range(total - 20, 0, -5):
        assert remote.killed_at(monkeypatch, out, request)
        storage = open_storage(out)
        steps = json.loads(storage.read_bytes("checkpoints/latest.json"))["steps"]
        if len(steps) == 2:
            break
        out = remote.new()
    for found in storage.list():
        if found.name.startswith(f"checkpoints/{steps[0]['folder']}/"):
            storage.delete(found.name)
    remote.finish(out)
    remote.check(out)


@pytest.mark.slow
def test_sigterm_commits_into_the_bucket_and_says_how_to_go_on(remote):
    out = remote.new()
    assert remote.runs.run(out, signal=[signal.SIGTERM, "step", 1]).status == 128 + signal.SIGTERM
    assert "--resume" in remote.log()
    record = json.loads(open_storage(out).read_bytes("run.json"))
    live = read_progress(out)
    assert record["status"] == "stopped"
    assert live is not None
    assert (live.status, live.committed_step) == ("stopped", record["step"])
    assert 0 < record["step"] < STEPS
    remote.finish(out)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(remote, monkeypatch):
    assert remote.runs.run("s3://there-is-no-such-bucket/run").status == 2
    assert "there is no such bucket" in remote.log().replace("\n", " ")
    storage = open_storage(f"{remote.bucket}/taken")
    storage.write("thesis.txt", b"")
    assert remote.runs.run(f"{remote.bucket}/taken").status == 2
    assert "thesis.txt" in remote.log()
    monkeypatch.setattr(remote.line, "away", True)
    began = time.monotonic()
    assert remote.runs.run(remote.new()).status == 1
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_what_an_earlier_run_left_on_this_machine_is_in_nobodys_way(remote, monkeypatch):
    out = remote.new()
    assert remote.killed_at(monkeypatch, out, 25)
    for found in open_storage(out).list():
        open_storage(out).delete(found.name)
    locks = (remote.runs.place / "cache" / "runs").glob("*/driver*.lock")
    left = [lock.with_suffix("") for lock in locks if lock.with_suffix("").is_dir()]
    assert left
    for folder in left:
        (folder / "ray.log").write_text("of a run that is gone\n")
    assert remote.runs.run(out).status == 0, remote.log()
    assert weights(out) == remote.runs.undisturbed


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_and_a_bucket(remote, line, purify_arguments, monkeypatch, mimic_ray, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
    outs = [remote.new(), str(tmp_path / "run")]
    for out in outs:
        arguments = purify_arguments(Path("OUT"), "--workers", "2", "--cpus-per-worker", "1")
        done = mimic_ray(*(out if a == "OUT" else a for a in arguments), timeout_s=200)
        assert done.returncode == 0, done.stderr
    local = (tmp_path / "run" / "student.safetensors").read_bytes()
    assert open_storage(outs[0]).read_bytes("student.safetensors") == local
