"""Encoders trained at a tiny size: the file loads, and its features know the classes."""

import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks.train_encoder import main
from mimic_ray.weight_files.load import load_checkpoint

COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200)}


@pytest.fixture
def data(tmp_path):
    draw = torch.Generator().manual_seed(0)
    for name, colour in COLOURS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(16):
            noise = torch.randint(-30, 30, (32, 32, 3), generator=draw)
            pixels = (torch.tensor(colour) + noise).clamp(0, 255).to(torch.uint8)
            Image.fromarray(pixels.numpy()).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


def train(monkeypatch, data, out, *more):
    words = ["--encoder", "tiny_resnet", "--data", data, "--out", out, "--batch", 16, *more]
    monkeypatch.setattr(sys, "argv", ["train_encoder", *map(str, words)])
    main()
    return load_checkpoint(out, "tiny_resnet").encoder


def test_a_classifier_learns_its_classes_and_its_head_is_in_the_file(monkeypatch, data, tmp_path):
    out = tmp_path / "made.safetensors"
    encoder = train(monkeypatch, data, out, "--by", "labels", "--epochs", 10, "--rate", "1e-2")
    state = load_file(out)
    images = torch.stack(
        [torch.full((3, 32, 32), 0.2), torch.full((3, 32, 32), 0.2)]
    )  # blue, then red
    images[0, 2], images[1, 0] = 0.8, 0.8
    found = encoder(images) @ state["head.weight"].T + state["head.bias"]
    assert found.argmax(dim=1).tolist() == [0, 1]


def test_simclr_trains_without_labels(monkeypatch, data, tmp_path, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(data.rglob("*.png"))):
        path.rename(flat / f"{number}.png")
    out = tmp_path / "made.safetensors"
    encoder = train(monkeypatch, flat, out, "--by", "simclr", "--epochs", 2)
    assert "step 4 of 4" in capsys.readouterr().out
    assert encoder(torch.rand(2, 3, 32, 32)).isfinite().all()
