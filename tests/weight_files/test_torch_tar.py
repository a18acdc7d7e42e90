"""Checkpoints of torch before 0.1.10."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import DamagedCheckpointError, NotACheckpointError
from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import fit
from mimic_ray.weight_files.write import write_like
from tests.weight_files.crafted import old_tar, refused, weights


def test_the_tensors_are_those_that_torch_reads(tmp_path: Path) -> None:
    path = tmp_path / "old.pth.tar"
    path.write_bytes(old_tar(weights() | {"steps": torch.arange(6).reshape(2, 3)}))
    theirs = torch.load(path, weights_only=False)
    found = read_checkpoint(path)
    assert found.format == "torch-tar"
    ours = found.groups[()]
    assert [*ours] == [*theirs] == ["conv.weight", "conv.bias", "steps"]
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not found.contents.finding()


def test_the_export_is_a_file_of_torch_with_the_new_weights(tmp_path: Path) -> None:
    encoder = encoder_registry.build("tiny_resnet")
    (tmp_path / "old").write_bytes(old_tar(encoder.net.state_dict()))
    found = fit(read_checkpoint(tmp_path / "old"), encoder)
    doubled = {key: 2 * tensor for key, tensor in found.state.items()}
    write_like(tmp_path / "old", found, doubled, tmp_path / "new")
    new = torch.load(tmp_path / "new", weights_only=True)
    assert [*new] == [*doubled]
    assert all(torch.equal(new[key], doubled[key]) for key in new)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (old_tar(weights(), big_endian=True), DamagedCheckpointError, "other byte order"),
        (old_tar(weights()).replace(b"storages", b"sporages"), NotACheckpointError, "unpack it"),
        (old_tar(weights())[:2000], NotACheckpointError, "unpack it"),
    ],
    ids=["big-endian", "other-members", "cut"],
)
def test_other_archives_are_refused(tmp_path: Path, content: bytes, kind: type, words: str) -> None:
    assert words in refused(content, tmp_path, kind)


def test_a_view_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    content = old_tar({"a": torch.ones(3)})
    sizes = (1).to_bytes(8, "little") + (3).to_bytes(8, "little")
    assert sizes in content
    longer = content.replace(sizes, sizes[:8] + (300).to_bytes(8, "little"))
    assert "exceeds its storage" in refused(longer, tmp_path, DamagedCheckpointError)
