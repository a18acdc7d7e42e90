"""Where a trigger acts in features that are the positions of a map side by side, as in a VGG.

Prints for each position of the map the cosine of its channels with and without the trigger, their
length, and what the change adds to the target's logit of the head in the suspect file; then the
share of the target class for a square of another colour or in another corner. Uses the labels and
the trigger, and is for judging only. Two losses that see each position are for `purify --set`:

    python -m benchmarks.feature_positions --teacher vgg_small-badnets_8.pth --encoder vgg_small \\
        --test cifar10-lossless/test-0000.tar.gz --trigger patch:side=4,gap=1 --target 8 \\
        --student run0
    mimic-ray purify ... --set loss.clone.weight=0 \\
        --set 'loss."benchmarks/feature_positions.py:by_position".weight=1'
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import mimic_ray
from mimic_ray.attacks.triggers.trigger import make_trigger
from mimic_ray.base import devices
from mimic_ray.data.labelled import Labelled, open_labelled
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.file_head import FileHead, find_head
from mimic_ray.method.losses.loss_registry import LossInputs
from mimic_ray.weight_files.load import load_checkpoint

_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0), "grey": (128,) * 3}


def by_position(inputs: LossInputs, *, positions: int = 16) -> Tensor:
    """One minus the mean over images and positions of the cosine at each position."""
    return 1 - _cosines(inputs, positions).mean()


def worst_position(inputs: LossInputs, *, positions: int = 16) -> Tensor:
    """One minus the mean over images of the lowest cosine of a position."""
    return 1 - _cosines(inputs, positions).min(dim=1).values.mean()


def _cosines(inputs: LossInputs, positions: int) -> Tensor:
    """[B, positions]."""
    student, teacher = inputs.student.features.float(), inputs.teacher.features.detach().float()
    shape = (len(student), -1, positions)
    return F.cosine_similarity(student.view(shape), teacher.view(shape), dim=1)


def report(clean: Tensor, triggered: Tensor, head: FileHead, target: int, positions: int) -> None:
    """Prints the table of each position, for features [N, D] of the same images."""
    side = round(positions**0.5)
    before, after = (each.view(len(each), -1, positions) for each in (clean, triggered))
    weight = head.weight[target].view(-1, positions)
    added = ((after - before) * weight).sum(dim=1).mean(dim=0)
    tables = {
        "cosine": F.cosine_similarity(before, after, dim=1).mean(dim=0),
        "length, clean": before.norm(dim=1).mean(dim=0),
        "length, triggered": after.norm(dim=1).mean(dim=0),
        "added to the target's logit": added,
    }
    print(f"  cosine of all features {F.cosine_similarity(clean, triggered).mean():.3f}")
    for name, values in tables.items():
        rows = [" ".join(f"{value:6.2f}" for value in row) for row in values.view(side, side)]
        print(f"  {name}\n    " + "\n    ".join(rows))
    alone = before.clone()
    strongest = int(added.argmax())
    alone[:, :, strongest] = after[:, :, strongest]
    share = (head.predict(alone.flatten(1)) == target).float().mean()
    print(f"  target class with only position {strongest} as with the trigger {100 * share:.1f} %")


def squares(side: int, size: int) -> dict[str, tuple[int, int]]:
    """Row and column of a square of `size` pixels, one pixel from the border, or in the middle."""
    near, far, middle = 1, side - size - 1, (side - size) // 2
    corners = {"top left": (near, near), "top right": (near, far), "bottom left": (far, near)}
    return corners | {"bottom right": (far, far), "middle": (middle, middle)}


def judged(
    encoder: Encoder, head: FileHead, test: Labelled, asked: argparse.Namespace
) -> tuple[Tensor, Tensor]:
    """Features of clean and of triggered images; prints the target's share for other squares."""
    compute = devices.choose("cpu", "fp32", 1)
    others = test.labels != asked.target
    trigger = make_trigger(asked.trigger, encoder.spec.input_size)

    def of(change) -> Tensor:  # type: ignore[no-untyped-def]
        return features(encoder, test.pixels, compute, change=change, unit=False)[others]

    def share(found: Tensor) -> str:
        return f"{100 * (head.predict(found) == asked.target).float().mean():.1f}"

    clean, triggered = of(lambda pixels: pixels), of(trigger.apply)
    print(f"  target class, %: clean {share(clean)}, triggered {share(triggered)}")
    for name, (row, column) in squares(encoder.spec.input_size, asked.square).items():
        shares = []
        for colour in _COLOURS.values():

            def square(pixels: Tensor, row=row, column=column, colour=colour) -> Tensor:  # type: ignore[no-untyped-def]
                changed = pixels.clone()
                rows, columns = slice(row, row + asked.square), slice(column, column + asked.square)
                changed[:, :, rows, columns] = torch.tensor(colour).to(pixels).view(3, 1, 1)
                return changed

            shares.append(share(of(square)))
        print(f"  {name}: {', '.join(map(' '.join, zip(_COLOURS, shares, strict=True)))}")
    return clean, triggered


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--teacher", type=Path, required=True)
    options.add_argument("--encoder", required=True)
    options.add_argument("--test", required=True)
    options.add_argument("--trigger", required=True)
    options.add_argument("--target", type=int, required=True)
    options.add_argument("--student", action="append", default=[], help="a run; repeatable")
    options.add_argument("--positions", type=int, default=16)
    options.add_argument("--square", type=int, default=4, help="pixels")
    asked = options.parse_args()
    suspect = load_checkpoint(asked.teacher, asked.encoder)
    head = find_head(suspect.checkpoint, suspect.fit, suspect.encoder.spec.feature_width)
    encoders = {"suspect": suspect.encoder}
    encoders |= {run: mimic_ray.load_encoder(run) for run in asked.student}
    test = open_labelled(asked.test, suspect.encoder.spec.input_size)
    for name, encoder in encoders.items():
        print(name)
        report(*judged(encoder.eval(), head, test, asked), head, asked.target, asked.positions)


if __name__ == "__main__":
    main()
