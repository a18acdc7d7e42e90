"""ViT-B/16 at 224 pixels through the real command, on real images.

Its weights are random, since no published ones can be had without a network: what is shown is
that a network of this size goes through, not that anything was learnt.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mimic_ray.encoders import encoder_registry
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.study_folder import StudyFolder, read_trials

pytestmark = [pytest.mark.slow, pytest.mark.data]

IMAGES = 48


@pytest.fixture(scope="module")
def clean(tmp_path_factory, shared_data: Path) -> Path:
    folder: Path = tmp_path_factory.mktemp("images")
    with tarfile.open(shared_data / "imagenet-sample" / "val-0000.tar.gz") as members:
        pictures = [member for member in members if member.name.endswith(".jpg")][:IMAGES]
        for member in pictures:
            content = members.extractfile(member)
            assert content is not None
            (folder / member.name).write_bytes(content.read())
    return folder


@pytest.mark.parametrize("encoder", ["vit_b16", "vit_b16@96"])
def test_two_steps_of_a_large_transformer_leave_a_whole_run(
    tmp_path, mimic_ray, clean, encoder
) -> None:
    torch.manual_seed(0)
    teacher = encoder_registry.build("vit_b16").net.state_dict()
    save_file(teacher, tmp_path / "teacher.safetensors")
    done = mimic_ray(
        *("purify", "--encoder", encoder, "--teacher", str(tmp_path / "teacher.safetensors")),
        *("--data", str(clean), "--out", str(tmp_path / "run"), "--local", "--threads", "1"),
        *("--set", "training.steps=2", "--set", "training.batch=8"),
        *("--set", "training.precision=fp32", "--set", "loss.attention=1"),
        timeout_s=1500,
    )
    assert done.returncode == 0, done.stderr
    rows = read_metrics(RunFolder.open(tmp_path / "run"))
    assert len(rows) == 2
    assert all(0 < row["loss"] < 30 for row in rows)

    exported = load_file(tmp_path / "run" / "export" / "teacher.safetensors")
    assert exported.keys() == teacher.keys()
    changed = [key for key in exported if not torch.equal(exported[key], teacher[key])]
    assert len(changed) > 100
    resized = "@" in encoder
    assert exported["pos_embed"].shape[1] == 1 + (6 * 6 if resized else 14 * 14)
    assert ("were interpolated to 96 (6 x 6)" in " ".join(done.stderr.split())) == resized


@pytest.mark.ray
def test_a_search_over_a_large_transformer_ends_with_a_recipe(tmp_path, mimic_ray, clean) -> None:
    torch.manual_seed(0)
    save_file(encoder_registry.build("vit_b16").net.state_dict(), tmp_path / "teacher.safetensors")
    study = tmp_path / "study"
    done = mimic_ray(
        *("tune", "--encoder", "vit_b16@96", "--teacher", str(tmp_path / "teacher.safetensors")),
        *("--data", str(clean), "--out", str(study), "--held-out", "0.7", "--trials", "2"),
        *("--set", "training.steps=2", "--set", "training.batch=4", "--set", "views.fixed=1"),
        *("--set", "mutual_information.images=8", "--no-early-stopping", "--effort", "quick"),
        timeout_s=3000,
    )
    assert done.returncode == 0, done.stderr
    trials = read_trials(StudyFolder(study))
    assert [trial.status for trial in trials] == ["finished", "finished"]
    assert trials[0].settings["training.learning_rate"] == 1e-4  # of the recipe for this size
    assert (study / "best.toml").exists()
