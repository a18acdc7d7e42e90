"""Which encoder a file is read as, and what is said about it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.base.assumptions import AssumptionWarning
from mimic_ray.base.errors import UsageError, WrongEncoderError
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import load_checkpoint
from tests.support.tiny_half import two_that_fit  # noqa: F401 - a fixture


@pytest.fixture
def file(tmp_path):
    save_file(build("tiny_resnet").net.state_dict(), tmp_path / "suspect.safetensors")
    return tmp_path / "suspect.safetensors"


def test_a_given_name_is_taken_without_reading_the_file(tmp_path):
    assert chosen_encoder(tmp_path / "missing.pth", "resnet50") == "resnet50"


def test_the_only_encoder_that_fits_is_taken_and_said(file):
    with pytest.warns(AssumptionWarning, match=r"is read as tiny_resnet \(mean and std imagenet\)"):
        assert chosen_encoder(file, None) == "tiny_resnet"
    with pytest.warns(AssumptionWarning, match=r"mean and std none"):
        assert chosen_encoder(file, ":normalise=none") == "tiny_resnet:normalise=none"


def test_a_file_that_no_encoder_fits_is_refused(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WrongEncoderError, match="no known encoder fits"):
        chosen_encoder(tmp_path / "other.safetensors", None)


@pytest.mark.usefixtures("two_that_fit")
def test_of_two_that_differ_none_is_chosen(file):
    with pytest.raises(UsageError) as asked:
        chosen_encoder(file, None)
    assert "tiny_resnet (mean and std imagenet); tiny_half (mean and std half)" in str(asked.value)
    assert "encoder=" in str(asked.value)


@pytest.mark.usefixtures("two_that_fit")
def test_stated_statistics_make_them_equal(file):
    with pytest.warns(AssumptionWarning):
        assert chosen_encoder(file, ":normalise=clip").endswith(":normalise=clip")


@pytest.mark.usefixtures("two_that_fit")
def test_what_a_given_name_assumes_is_said_and_kept(file):
    with pytest.warns(AssumptionWarning, match="do not determine mean and std") as warned:
        loaded = load_checkpoint(file, "tiny_half@48")
    assert loaded.assumed == str(warned[0].message)
    assert "assumed tiny_half@48 (mean and std half), not tiny_resnet" in loaded.assumed


@pytest.mark.usefixtures("two_that_fit")
def test_stated_statistics_are_no_assumption(file):
    assert load_checkpoint(file, "tiny_half:normalise=clip").assumed == ""


def test_the_only_encoder_that_fits_is_no_assumption(file):
    assert load_checkpoint(file, "tiny_resnet").assumed == ""
