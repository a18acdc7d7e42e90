"""Storages as pickle.dump writes them: each a legacy file of torch in bytes."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.legacy_file import next_storage
from mimic_ray.weight_files.pickle_machine import PickleError
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import fit
from mimic_ray.weight_files.write import write_like
from tests.weight_files import crafted
from tests.weight_files.crafted import refused, torch_bytes, weights


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_of_tensors_is_read_and_written_again(tmp_path: Path, protocol: int) -> None:
    encoder = encoder_registry.build("tiny_resnet")
    state = encoder.net.state_dict()
    (tmp_path / "in").write_bytes(pickle.dumps({"net": state}, protocol))
    found = read_checkpoint(tmp_path / "in")
    assert (found.format, found.contents.finding()) == ("pickle", "")
    assert all(torch.equal(found.groups["net",][key], state[key]) for key in state)
    doubled = {key: 2 * tensor for key, tensor in state.items()}
    write_like(tmp_path / "in", fit(found, encoder), doubled, tmp_path / "out")
    new = pickle.loads((tmp_path / "out").read_bytes())["net"]
    assert all(torch.equal(new[key], doubled[key]) for key in state)


def test_what_the_bytes_of_a_storage_would_call_is_found_and_not_called(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    inner = torch_bytes(crafted.shell(canary), legacy=True)
    harm = crafted.Calls(torch.storage._load_from_bytes, inner)
    message = refused(pickle.dumps({"x": harm, **weights()}), tmp_path, DamagedCheckpointError)
    assert "not one storage" in message
    assert not canary.exists()


def test_a_storage_that_ends_early_is_refused() -> None:
    content = (3).to_bytes(8, "little") + bytes(12)
    assert next_storage(io.BytesIO(content), "float32") == (8, 12)
    with pytest.raises(PickleError, match="ends early"):
        next_storage(io.BytesIO(content), "float64")
