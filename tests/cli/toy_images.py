"""A toy problem for commands that need labels: images of three colours, a random tiny encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from mimic_ray.encoders.encoder_registry import build

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}


def save_images(folder: Path, each: int, seed: int) -> Path:
    """`each` noisy images of every colour, in one folder per class."""
    draw = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            noise = draw.normal(0, 25, (32, 32, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
    return folder


def save_checkpoint(path: Path, seed: int = 0) -> Path:
    """Random weights: safetensors, or a .pth in the layout of the CIFAR ResNets in use."""
    torch.manual_seed(seed)
    state = {f"module.{key}": value for key, value in build("tiny_resnet").net.state_dict().items()}
    if path.suffix == ".safetensors":  # twenty times faster to read: no child process
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "best_prec1": 12.5}, path)
    return path


def run(arguments: list[object]) -> int:
    """The exit code of `mimic-ray ARGUMENTS`."""
    from mimic_ray.cli.app import main

    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("a command ends in SystemExit")


def content_of(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder with its content, to check that nothing changed."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def truncated(content: bytes) -> bytes:
    """The first half."""
    return content[: len(content) // 2]
