"""The fidelity of a run is 1 for an unchanged encoder and falls with its changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from mimic_ray.base import devices
from mimic_ray.data.image_source import open_images
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.execution.fidelity_check import FidelityCheck


@pytest.fixture
def check_of(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    teacher = build("tiny_resnet").eval()

    def make(count: int):
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        np.savez(tmp_path / "images.npz", x=images)
        compute = devices.choose("cpu", "fp32", 1)
        source = open_images(tmp_path / "images.npz")
        return FidelityCheck(source, copy.deepcopy(teacher), compute, lambda progress: None)

    return make, teacher


def test_an_unchanged_encoder_has_fidelity_1_on_held_out_images(check_of):
    make, teacher = check_of
    found = make(700).result(teacher)
    assert found["cosine"] == pytest.approx(1)
    assert found["overlap"] == 1
    assert (found["images"], found["held_out"]) == (35, True)


def test_an_encoder_with_other_weights_has_less(check_of):
    make, _ = check_of
    torch.manual_seed(1)
    assert make(700).result(build("tiny_resnet").eval())["overlap"] < 0.9


def test_few_images_are_all_used_although_they_were_trained_on(check_of):
    make, teacher = check_of
    found = make(20).result(teacher)
    assert (found["images"], found["held_out"]) == (20, False)


def test_two_images_have_no_fidelity(check_of):
    make, teacher = check_of
    assert make(2).result(teacher) == {}
