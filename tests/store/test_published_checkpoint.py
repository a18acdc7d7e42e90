"""Commits to object storage: a reader sees a complete checkpoint after any kill or damage."""

from __future__ import annotations

import json
import time

import pytest
import torch
from pyarrow import fs

from mimic_ray.base.errors import DamagedCheckpointError, StorageAwayError
from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import ATTEMPTS
from mimic_ray.store import retry
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.run_store import open_run
from tests.store.flaky_s3 import door


@pytest.fixture
def address(bucket, tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    return f"{bucket}/run"


def state(step: int, mark: float = 0.0) -> dict:
    return {"step": step, "weights": torch.full((64,), step + mark)}


def writer(address):
    run = open_run(address, "worker-0")
    run.fetch()
    return run


def seen(address):
    """The latest checkpoint as another machine finds it, checked against itself."""
    run = open_run(address, "reader")
    run.fetch()
    found = latest(run.folder)
    if found:
        assert found.state["step"] == found.step
        assert found.state["weights"].unique().numel() == 1
    return found


def steps(address) -> list[str]:
    """The folders of steps there, without what makes them unique."""
    found = {item.name.split("/")[1] for item in open_storage(f"{address}").list()}
    return sorted(name[:11] for name in found if name.startswith("step-"))


def newest(address) -> str:
    content = open_storage(address).read_bytes("checkpoints/latest.json")
    return f"checkpoints/{json.loads(content)['steps'][0]['folder']}"


def test_the_last_two_steps_are_kept(address):
    run = writer(address)
    assert seen(address) is None
    for step in (1, 2, 3):
        run.commit(step, state(step))
        assert seen(address).step == step
    assert steps(address) == ["step-000002", "step-000003"]
    # No empty object is left of the one before them.
    below = fs.FileSelector(f"{address.removeprefix('s3://')}/checkpoints")
    assert len(open_storage(address)._filesystem.get_file_info(below)) == 3


def test_a_step_is_seen_only_once_latest_json_names_it(address, monkeypatch):
    writer(address).commit(1, state(1))
    # Without metrics a commit writes four files. It is killed before each of them.
    for whole in range(4):
        run = writer(address)
        write, done = run.store._storage.write, []

        def dies(name, content, whole=whole, write=write, done=done):
            if len(done) == whole:
                raise KeyboardInterrupt
            done.append(name)
            write(name, content)

        monkeypatch.setattr(run.store._storage, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            run.commit(2, state(2, mark=whole / 10))
        assert seen(address).step == 1
    # Later attempts do not mix with what these left, and remove it.
    writer(address).commit(2, state(2, mark=0.5))
    assert seen(address).state["weights"][0] == 2.5
    assert steps(address) == ["step-000001", "step-000002"]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_a_flipped_byte_is_reported_and_not_bypassed(address, name):
    run = writer(address)
    for step in (1, 2):
        run.commit(step, state(step))
    storage, harmed = open_storage(address), f"{newest(address)}/{name}"
    content = bytearray(storage.read_bytes(harmed))
    content[len(content) // 2] ^= 1
    storage.write(harmed, bytes(content))
    with pytest.raises(DamagedCheckpointError, match=f"{address}/{harmed} is damaged"):
        seen(address)
    storage.delete(harmed)
    with pytest.raises(DamagedCheckpointError, match=f"{address}/{harmed} is damaged or missing"):
        seen(address)


def test_a_torn_latest_json_is_reported(address):
    writer(address).commit(1, state(1))
    storage = open_storage(address)
    whole = storage.read_bytes("checkpoints/latest.json")
    for torn in (whole[:-9], b"", whole.replace(b'"step": 1', b'"step": 3')):
        storage.write("checkpoints/latest.json", torn)
        with pytest.raises(DamagedCheckpointError, match=r"latest\.json is damaged"):
            seen(address)


def test_the_earlier_step_is_used_if_the_last_one_was_deleted(
    address,
):
    run = writer(address)
    for step in (1, 2):
        run.commit(step, state(step))
    storage = open_storage(address)
    for found in storage.list():
        if found.name.startswith(newest(address)):
            storage.delete(found.name)
    assert seen(address).step == 1
    writer(address).commit(2, state(2))
    assert seen(address).step == 2


def test_a_commit_waits_until_the_storage_answers_again(address, s3_server, monkeypatch):
    with door(s3_server["AWS_ENDPOINT_URL"]) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
        run = writer(address)
        until = time.monotonic() + 2
        monkeypatch.setattr(line, "fault", lambda: "503" if time.monotonic() < until else "")
        run.commit(1, state(1))
        assert seen(address).step == 1


def test_unreachable_storage_is_given_up_once_and_the_last_step_is_kept(
    address, s3_server, monkeypatch
):
    monkeypatch.setattr(retry, "TIMEOUT_S", 2.0)
    with door(s3_server["AWS_ENDPOINT_URL"]) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
        run = writer(address)
        run.commit(1, state(1))
        line.away = True
        with pytest.raises(StorageAwayError, match=r"Gave up after \d+ s.*resume=True"):
            run.commit(2, state(2))
        refused = line.met["503"]
        with pytest.raises(StorageAwayError):  # later requests are tried once
            run.fetch()
        assert line.met["503"] - refused <= ATTEMPTS
        line.away = False
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server["AWS_ENDPOINT_URL"])
    assert seen(address).step == 1
