from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.base import files
from mimic_ray.base.errors import DamagedCheckpointError, DataError, RunFolderError
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.execution.export import export, load_encoder, read_encoder
from mimic_ray.weight_files.load import load_checkpoint
from tests.weight_files.test_joined import in_parts

USER_CODE = """
from pathlib import Path
from mimic_ray.encoders.encoder_registry import build

def encoder():
    Path(__file__).with_name("was_run").touch()
    return build("tiny_resnet")
"""


@pytest.fixture
def wrapped():
    """The keys that data-parallel training leaves, with a head."""
    torch.manual_seed(0)
    state = {f"module.{k}": v for k, v in build("tiny_resnet").net.state_dict().items()}
    return {**state, "module.fc.weight": torch.randn(10, 32), "module.fc.bias": torch.randn(10)}


@pytest.fixture
def teacher(tmp_path, wrapped):
    save_file(wrapped, tmp_path / "suspect.safetensors")
    return load_checkpoint(tmp_path / "suspect.safetensors", "tiny_resnet")


def finish(folder, record):
    record.ended("finished", step=600, train_s=1.0).write(folder.record)


@pytest.fixture
def student():
    torch.manual_seed(1)
    made = build("tiny_resnet").eval()
    made.net.get_submodule("bn1").running_mean.uniform_()
    return made


def test_the_student_comes_back_as_it_was(folder, record, student, teacher):
    export(folder, student, teacher)
    finish(folder, record)
    loaded = load_encoder(folder.path)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(images), student(images))
    assert not loaded.training


def test_the_loaded_encoder_refuses_images_that_the_method_s_own_loop_does_not_check(
    folder, record, student, teacher
):
    export(folder, student, teacher)
    finish(folder, record)
    images = 255 * torch.rand(2, 3, 32, 32)
    with pytest.raises(DataError, match="tiny_resnet got images of values from"):
        load_encoder(folder.path)(images)
    assert read_encoder(folder.path)(images).shape == (2, 32)


def test_a_file_in_place_of_the_run_folder_is_named_with_what_to_give(folder, student, teacher):
    written = export(folder, student, teacher)
    with pytest.raises(RunFolderError, match=r"suspect\.safetensors is a file, not a run folder"):
        load_encoder(written)


def test_the_users_file_keeps_its_layout_and_gets_the_students_weights(
    folder, student, tmp_path, wrapped
):
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "suspect.pth")
    written = export(folder, student, load_checkpoint(tmp_path / "suspect.pth", "tiny_resnet"))
    assert written == folder.export / "suspect.pth"
    content = torch.load(written, weights_only=True)
    assert content["epoch"] == 3
    assert [*content["state_dict"]] == [*wrapped]
    own = {f"module.{key}": value for key, value in student.net.state_dict().items()}
    for key, value in {**wrapped, **own}.items():
        assert torch.equal(content["state_dict"][key], value)
        assert content["state_dict"][key].dtype == value.dtype


def test_a_folder_comes_back_as_a_folder(folder, student, tmp_path, wrapped):
    parts = in_parts(tmp_path / "hub", {key: wrapped[key] for key in wrapped})
    written = export(folder, student, load_checkpoint(parts, "tiny_resnet"))
    assert written == folder.export / "hub"
    again = load_checkpoint(written, "tiny_resnet").fit.state
    for key, value in student.net.state_dict().items():
        assert torch.equal(again[key], value)
    assert json.loads(folder.encoder.read_text())["teacher"]["file"] == "hub"


def test_encoder_json_says_what_the_weights_are(folder, student, teacher):
    export(folder, student, teacher)
    said = json.loads(folder.encoder.read_text())
    assert said["encoder"] == "tiny_resnet"
    assert (said["input_size"], said["feature_width"]) == (32, 32)
    assert said["taps"] == list(student.spec.taps)
    assert said["mean"] == list(student.spec.mean)
    assert said["student_sha256"] == files.sha256(folder.student)
    assert said["teacher"] == {"file": "suspect.safetensors", "sha256": teacher.checkpoint.sha256}


def test_an_export_that_was_killed_can_be_repeated(folder, record, student, teacher):
    export(folder, build("tiny_resnet"), teacher)
    export(folder, student, teacher)
    finish(folder, record)
    assert [path.name for path in folder.export.iterdir()] == ["suspect.safetensors"]
    load_encoder(folder.path)


def test_a_run_that_has_not_finished_gives_nothing(folder, record, student, teacher):
    export(folder, student, teacher)
    record.ended("stopped", step=120, train_s=1.0).write(folder.record)
    with pytest.raises(RunFolderError, match=r"stopped at step 120.*resume=True"):
        load_encoder(folder.path)


def test_a_flipped_bit_in_the_weights_is_named(folder, record, student, teacher):
    export(folder, student, teacher)
    finish(folder, record)
    content = bytearray(folder.student.read_bytes())
    content[-100] ^= 1
    folder.student.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=r"student\.safetensors is damaged"):
        load_encoder(folder.path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"encoder": "tiny_resnet"}'])
def test_a_damaged_description_is_named(folder, record, student, teacher, content):
    export(folder, student, teacher)
    finish(folder, record)
    folder.encoder.write_text(content)
    with pytest.raises(RunFolderError, match=r"encoder\.json is damaged"):
        load_encoder(folder.path)


def test_missing_files_are_named(folder, record, student, teacher):
    export(folder, student, teacher)
    finish(folder, record)
    folder.student.unlink()
    with pytest.raises(RunFolderError, match=r"student\.safetensors is missing"):
        load_encoder(folder.path)
    folder.encoder.unlink()
    with pytest.raises(RunFolderError, match=r"encoder\.json is missing"):
        load_encoder(folder.path)


def test_other_statistics_than_those_of_the_run_are_refused(folder, record, student, teacher):
    export(folder, student, teacher)
    finish(folder, record)
    said = json.loads(folder.encoder.read_text())
    files.write_json(folder.encoder, {**said, "mean": [0.1, 0.2, 0.3]})
    with pytest.raises(RunFolderError, match=r"says mean = \[0\.1, 0\.2, 0\.3\]"):
        load_encoder(folder.path)


def test_code_named_in_a_run_folder_is_run_only_when_allowed(folder, record, teacher, tmp_path):
    (tmp_path / "mine.py").write_text(USER_CODE)
    student = build(f"{tmp_path / 'mine.py'}:encoder")
    (tmp_path / "was_run").unlink()
    export(folder, student, dataclasses.replace(teacher, encoder=student))
    finish(folder, record)
    with pytest.raises(RunFolderError, match="allow_code=True"):
        load_encoder(folder.path)
    assert not (tmp_path / "was_run").exists()
    load_encoder(folder.path, allow_code=True)
    assert (tmp_path / "was_run").exists()
