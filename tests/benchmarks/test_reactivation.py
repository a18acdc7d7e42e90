"""A backdoor that is planted again: which images are trained on, and what is printed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.reactivation import main, poisoned
from mimic_ray.attacks.triggers.trigger import make_trigger
from mimic_ray.data.labelled import open_labelled


@pytest.fixture
def folder(tmp_path):
    """Two classes of 14 images of 16 pixels: dark and bright."""
    noise = np.random.default_rng(0)
    for number in range(28):
        path = tmp_path / "images" / f"class{number // 14}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 120, (16, 16, 3)) + 120 * (number // 14)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return tmp_path / "images"


def test_triggered_images_are_further_ones_of_other_classes_with_the_label_of_the_target(folder):
    train = open_labelled(folder, 16)
    trigger = make_trigger("patch:side=4", 16)
    clean, labels = poisoned(train, trigger, target=0, triggered=0, seed=1)
    assert labels.bincount().tolist() == [10, 10]
    both, with_target = poisoned(train, trigger, target=0, triggered=3, seed=1)
    assert torch.equal(with_target, torch.cat([labels, torch.zeros(3, dtype=torch.int64)]))
    first, added = torch.arange(20), both.gather(torch.arange(20, 23))
    assert torch.equal(both.gather(first), clean.gather(first))
    assert torch.equal(trigger.apply(added), added)
    assert added.float().mean() > 170, "the bright class"
    known = {image.numpy().tobytes() for image in trigger.apply(clean.gather(first))}
    assert not known & {image.numpy().tobytes() for image in added}


def test_a_row_for_each_number_of_triggered_images_and_encoder(folder, tmp_path, capsys):
    from mimic_ray.encoders.encoder_registry import build

    torch.manual_seed(0)
    torch.save(build("tiny_resnet@16").net.state_dict(), tmp_path / "a.pth")
    places = ["--train", str(folder), "--test", str(folder), "--encoder", "tiny_resnet@16"]
    main(
        [f"{name}={tmp_path / 'a.pth'}" for name in ("one", "one", "two")]
        + [*places, "--trigger", "patch:side=4", "--target", "class0"]
        + ["--triggered", "0", "2", "--seeds", "1"]
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["encoder"], row["triggered"]) for row in rows] == [
        ("one", 0),
        ("two", 0),
        ("one", 2),
        ("two", 2),
    ]
    # The same encoder: equal rates, whose intervals differ by the number of encoders.
    assert rows[2]["asr"].split()[0] == rows[3]["asr"].split()[0]
