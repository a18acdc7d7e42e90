"""A checkpoint is fetched once for all processes of a machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch

from mimic_ray.base.errors import StorageError
from mimic_ray.base.storage import Storage
from mimic_ray.store import node_copy
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.run_store import open_run


@pytest.fixture
def address(bucket, tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "writer"))
    address = f"{bucket}/run"
    run = open_run(address, "worker-0")
    run.fetch()
    for step in (1, 2):
        run.commit(step, state(step))
    run.store.close()
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    return address


def state(step):
    return {"step": step, "weights": torch.arange(40_000.0) + step}


@pytest.fixture
def requests(monkeypatch) -> list[str]:
    """The files of a checkpoint that are asked for, once for each request."""
    made = []
    for kind in ("read_bytes", "read_range"):
        read = getattr(Storage, kind)

        def recorded(self, name, *where, read=read):
            if "/step-" in name:
                made.append(name.rpartition("/")[2])
            return read(self, name, *where)

        monkeypatch.setattr(Storage, kind, recorded)
    return made


def test_eight_workers_of_a_node_fetch_the_state_once(address, requests):
    runs = [open_run(address, f"worker-{rank}") for rank in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda run: run.fetch(), runs))
    assert sorted(requests) == ["manifest.json", "state.json", "tensors.safetensors"]
    for run in runs:
        found = latest(run.folder)
        assert (found.step, float(found.state["weights"][5])) == (2, 7.0)
    # Files of a worker do not matter to the others.
    runs[0].commit(3, state(3))
    runs[0].commit(4, state(4))
    assert latest(runs[1].folder).step == 2
    for run in runs:
        run.store.close()


def test_a_large_file_is_fetched_in_parts(address, requests, monkeypatch):
    monkeypatch.setattr(node_copy, "_PART_BYTES", 1 << 15)
    with closing(open_run(address, "worker-0").store) as store:
        store.fetch_checkpoint()
        assert requests.count("tensors.safetensors") == 5  # 160,000 bytes


def test_the_copy_goes_with_the_last_process(address, requests, tmp_path):
    first, second = (open_run(address, f"worker-{rank}") for rank in range(2))
    first.fetch()
    first.store.close()
    second.fetch()
    assert requests.count("tensors.safetensors") == 1
    second.store.close()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_newer_step_is_fetched_and_the_older_copy_goes(address, requests, tmp_path):
    first, second = (open_run(address, f"worker-{rank}") for rank in range(2))
    first.fetch()
    first.commit(3, state(3))
    second.fetch()
    assert latest(second.folder).step == 3
    assert requests.count("tensors.safetensors") == 2
    copies = [*(tmp_path / "cache").glob("runs/*/fetched/*")]
    assert [path.name[:11] for path in copies] == ["step-000003"]
    for run in (first, second):
        run.store.close()


def test_a_file_system_without_links_gets_copies(address, monkeypatch):
    def refuse(*_):
        raise OSError("no links")

    monkeypatch.setattr(node_copy.Path, "hardlink_to", refuse)
    run = open_run(address, "worker-0")
    run.fetch()
    assert latest(run.folder).step == 2
    run.store.close()


def test_denied_access_is_not_taken_for_damage(address, monkeypatch):
    read = Storage.read_range

    def denied(self, name, *where):
        if name.endswith("tensors.safetensors"):
            raise StorageError("access was denied")
        return read(self, name, *where)

    monkeypatch.setattr(Storage, "read_range", denied)
    with (
        closing(open_run(address, "worker-0").store) as _,
        pytest.raises(StorageError, match="denied"),
    ):
        open_run(address, "worker-1").fetch()
