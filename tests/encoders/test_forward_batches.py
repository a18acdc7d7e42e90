"""Batches of forward passes: small ones of large images on a CPU."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.encoders.forward_batches import forward_batch


@pytest.mark.parametrize(("side", "batch"), [(32, 128), (96, 49), (224, 9), (1024, 1)])
def test_on_a_cpu_large_images_go_in_small_batches(side, batch):
    assert forward_batch(128, side, torch.device("cpu")) == batch


def test_on_a_gpu_batches_are_whole():
    assert forward_batch(128, 1024, torch.device("cuda")) == 128
