"""Commits into a bucket: what is seen is whole, whatever was written, killed, removed or harmed."""

from __future__ import annotations

import json
import time

import pytest
import torch
from pyarrow import fs

from mimic_ray.base.errors import DamagedCheckpointError, RunFolderError, StorageAwayError
from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import ATTEMPTS
from mimic_ray.store import retry
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_store import place_of
from tests.store.flaky_s3 import door


@pytest.fixture
def address(bucket, tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    return f"{bucket}/run"


def state(step: int, mark: float = 0.0) -> dict:
    return {"step": step, "weights": torch.full((64,), step + mark)}


def writer(address):
    place = place_of(address, "worker-0")
    place.fetch()
    return place


def seen(address):
    """The latest checkpoint as another machine finds it, checked against itself."""
    place = place_of(address, "reader")
    place.fetch()
    found = latest(place.folder)
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


def test_the_last_two_steps_stay(address):
    place = writer(address)
    assert seen(address) is None
    for step in (1, 2, 3):
        place.commit(step, state(step))
        assert seen(address).step == step
    assert steps(address) == ["step-000002", "step-000003"]
    # Nor does an empty object remember the one before them.
    below = fs.FileSelector(f"{address.removeprefix('s3://')}/checkpoints")
    assert len(open_storage(address)._filesystem.get_file_info(below)) == 3


def test_a_step_is_seen_only_once_latest_json_names_it(address, monkeypatch):
    writer(address).commit(1, state(1))
    # One commit is five writings: rows are not there, so four; killed before each of them.
    for whole in range(4):
        place = writer(address)
        write, done = place._mirror.storage.write, []

        def dies(name, content, whole=whole, write=write, done=done):
            if len(done) == whole:
                raise KeyboardInterrupt
            done.append(name)
            write(name, content)

        monkeypatch.setattr(place._mirror.storage, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            place.commit(2, state(2, mark=whole / 10))
        assert seen(address).step == 1
    # The attempts after them do not mix with what these left, and remove it.
    writer(address).commit(2, state(2, mark=0.5))
    assert seen(address).state["weights"][0] == 2.5
    assert steps(address) == ["step-000001", "step-000002"]


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_a_flipped_byte_is_named_and_never_gone_round(address, name):
    place = writer(address)
    for step in (1, 2):
        place.commit(step, state(step))
    storage, harmed = open_storage(address), f"{newest(address)}/{name}"
    content = bytearray(storage.read_bytes(harmed))
    content[len(content) // 2] ^= 1
    storage.write(harmed, bytes(content))
    with pytest.raises(DamagedCheckpointError, match=f"{address}/{harmed} is damaged"):
        seen(address)
    storage.delete(harmed)
    with pytest.raises(DamagedCheckpointError, match=f"{address}/{harmed} is damaged or missing"):
        seen(address)


def test_a_torn_latest_json_is_named(address):
    writer(address).commit(1, state(1))
    storage = open_storage(address)
    whole = storage.read_bytes("checkpoints/latest.json")
    for torn in (whole[:-9], b"", whole.replace(b'"step": 1', b'"step": 3')):
        storage.write("checkpoints/latest.json", torn)
        with pytest.raises(DamagedCheckpointError, match=r"latest\.json is damaged"):
            seen(address)


def test_the_step_before_is_taken_where_somebody_removed_the_last_one_and_that_is_made_anew(
    address,
):
    place = writer(address)
    for step in (1, 2):
        place.commit(step, state(step))
    storage = open_storage(address)
    for found in storage.list():
        if found.name.startswith(newest(address)):
            storage.delete(found.name)
    assert seen(address).step == 1
    writer(address).commit(2, state(2))
    assert seen(address).step == 2


def test_a_commit_waits_for_a_storage_that_comes_back(address, s3_server, monkeypatch):
    with door(s3_server["AWS_ENDPOINT_URL"]) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
        place = writer(address)
        until = time.monotonic() + 2
        monkeypatch.setattr(line, "fault", lambda: "503" if time.monotonic() < until else "")
        place.commit(1, state(1))
        assert seen(address).step == 1


def test_a_storage_that_stays_away_is_given_up_once_and_the_last_step_stays(
    address, s3_server, monkeypatch
):
    monkeypatch.setattr(retry, "PATIENCE_S", 2.0)
    with door(s3_server["AWS_ENDPOINT_URL"]) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
        place = writer(address)
        place.commit(1, state(1))
        line.away = True
        with pytest.raises(StorageAwayError, match=r"tried for \d+ s.*--resume"):
            place.commit(2, state(2))
        refused = line.met["503"]
        with pytest.raises(StorageAwayError):  # the one who says why does not wait again
            place.fetch()
        assert line.met["503"] - refused <= ATTEMPTS
        line.away = False
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server["AWS_ENDPOINT_URL"])
    assert seen(address).step == 1


def test_what_a_killed_run_left_on_this_machine_does_not_stand_in_a_new_one_s_way(address, record):
    left = place_of(address, "driver").folder
    left.path.mkdir(parents=True)
    left.worker_log.write_text("of a run that is gone")
    place = place_of(address, "driver")
    place.require_free()
    RunFolder.create(place.folder.path, record)


def test_an_address_that_holds_anything_is_refused_and_named(address):
    storage = open_storage(address)
    storage.write("thesis.txt", b"")
    with pytest.raises(RunFolderError, match=r'holds "thesis\.txt"'):
        place_of(address, "driver").require_free()
    storage.write("run.json", b"")
    with pytest.raises(RunFolderError, match=f"{address} holds another run"):
        place_of(address, "driver").require_free()
