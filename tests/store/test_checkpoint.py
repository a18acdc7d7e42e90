from __future__ import annotations

import shutil

import pytest
import torch

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.store.checkpoint import commit, latest


def state(step):
    return {"step": step, "weights": torch.full((50,), float(step))}


def names(folder):
    return sorted(path.name for path in folder.checkpoints.iterdir())


def test_before_the_first_commit_there_is_nothing(folder):
    assert latest(folder) is None


def test_the_latest_commit_is_read(folder):
    for step in (10, 20):
        commit(folder, step, state(step))
    found = latest(folder)
    assert found.step == found.state["step"] == 20
    assert found.instead_of is None
    assert found.state["weights"].tolist() == [20.0] * 50


def test_two_commits_are_kept(folder):
    for step in (10, 20, 30, 1_000_000):
        commit(folder, step, state(step))
    assert names(folder) == ["latest.json", "step-000030", "step-1000000"]


def test_a_step_is_committed_once(folder):
    commit(folder, 10, state(10))
    before = (folder.checkpoints / "step-000010").stat().st_mtime_ns
    commit(folder, 10, state(10))
    assert (folder.checkpoints / "step-000010").stat().st_mtime_ns == before


def test_a_step_written_but_never_committed_is_not_read_and_makes_way(folder):
    commit(folder, 10, state(10))
    shutil.copytree(folder.checkpoints / "step-000010", folder.checkpoints / "step-000020")
    shutil.copytree(folder.checkpoints / "step-000010", folder.checkpoints / "step-000030")
    assert latest(folder).step == 10
    commit(folder, 20, state(20))
    assert latest(folder).state["step"] == 20
    assert names(folder) == ["latest.json", "step-000010", "step-000020"]


def test_any_flipped_bit_is_named_and_never_passed_over(folder):
    for step in (10, 20):
        commit(folder, step, state(step))
    step = folder.checkpoints / "step-000020"
    for path in [folder.checkpoints / "latest.json", *step.iterdir()]:
        whole = path.read_bytes()
        for place in range(len(whole)):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << (place % 8)
            path.write_bytes(flipped)
            with pytest.raises(DamagedCheckpointError, match=path.name):
                latest(folder)
        path.write_bytes(whole)
    assert latest(folder).step == 20


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "tensors.safetensors"])
def test_missing_and_shortened_files_are_named(folder, name):
    commit(folder, 10, state(10))
    path = folder.checkpoints / "step-000010" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedCheckpointError, match=name):
        latest(folder)
    path.unlink()
    with pytest.raises(DamagedCheckpointError, match=f"{name} is damaged .it is missing"):
        latest(folder)


def test_the_way_out_of_damage_leads_to_the_step_before(folder):
    for step in (10, 20):
        commit(folder, step, state(step))
    damaged = folder.checkpoints / "step-000020"
    (damaged / "state.json").write_text("{}")
    with pytest.raises(DamagedCheckpointError, match=f"delete {damaged} to go on from step 10"):
        latest(folder)
    shutil.rmtree(damaged)
    found = latest(folder)
    assert (found.step, found.instead_of) == (10, 20)
    commit(folder, 15, state(15))
    assert latest(folder).step == 15
    assert latest(folder).instead_of is None
    assert names(folder) == ["latest.json", "step-000010", "step-000015"]


def test_a_run_whose_committed_steps_are_all_gone_does_not_start_over_silently(folder):
    commit(folder, 10, state(10))
    shutil.rmtree(folder.checkpoints / "step-000010")
    with pytest.raises(DamagedCheckpointError, match="step-000010 is missing"):
        latest(folder)


def test_a_state_that_cannot_be_stored_leaves_the_commit_before(folder):
    commit(folder, 10, state(10))
    with pytest.raises(TypeError):
        commit(folder, 20, {"bad": object()})
    assert latest(folder).step == 10
    assert names(folder) == ["latest.json", "step-000010"]
