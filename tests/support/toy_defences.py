"""Defences for tests: each moves the weights of the suspect encoder by noise, in milliseconds."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from typing import Annotated, Any

import torch

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths


def moved(inputs: DefenceInputs, scale: float, *notes: str) -> Defended:
    """Weights with noise of `scale` times their own standard deviation."""
    encoder = copy.deepcopy(inputs.suspect)
    generator = torch.Generator().manual_seed(inputs.seed)
    for parameter in encoder.parameters():
        if parameter.dim() > 1:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += scale * parameter.data.std() * noise
    inputs.on_step(1, 1)
    return Defended(encoder, 100, notes)


def default(
    inputs: DefenceInputs, *, scale: Annotated[float, setting("Of the noise.", ge=0)] = 0.1
) -> Defended:
    """A little noise."""
    return moved(inputs, scale)


@strengths("scale", 0.02, 0.05, 0.5, 2.0)
def noise(
    inputs: DefenceInputs, *, scale: Annotated[float, setting("Of the noise.", ge=0)] = 0.5
) -> Defended:
    """Noise."""
    return moved(inputs, scale, "noise was added.")


@strengths("scale", 2.0, 4.0)
def too_much(inputs: DefenceInputs, *, scale: float = 2.0) -> Defended:
    """More noise than features survive."""
    return moved(inputs, scale)


@strengths("scale", 0.05, 4.0)
def fails_if_strong(inputs: DefenceInputs, *, scale: float = 0.05) -> Defended:
    """Fails at its larger strength."""
    if scale > 1:
        raise RuntimeError("too strong")
    return moved(inputs, scale)


def turns(inputs: DefenceInputs) -> Defended:
    """Other channels of the feature get what the last block adds to them."""
    made = moved(inputs, 0.0)
    last: Any = made.encoder.net.layer3[-1]  # type: ignore[index]
    norm = last.bn2
    for each in (last.conv2.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
        each.data = each.data.roll(7, 0)
    return replace(made, turned=True)


def fails(inputs: DefenceInputs) -> Defended:
    """Always fails."""
    raise RuntimeError(f"no idea about seed {inputs.seed}")


def diverges(inputs: DefenceInputs) -> Defended:
    """Weights that are not finite."""
    return moved(inputs, float("nan"))


def ends_its_process(inputs: DefenceInputs) -> Defended:  # noqa: ARG001
    """As the system does where the memory is full."""
    os._exit(1)


def does_not_last(inputs: DefenceInputs) -> Defended:
    """Features that are finite as the encoder is, and overflow once it is trained further."""
    made = moved(inputs, 0.0)
    norm: Any = made.encoder.net.layer3[-1].bn2  # type: ignore[index]
    norm.weight.data.fill_(3e37)
    norm.running_var.data.fill_(3e38)
    return made


def changes_the_suspect(inputs: DefenceInputs) -> Defended:
    """Breaks the rule to leave the suspect encoder unchanged."""
    for parameter in inputs.suspect.parameters():
        parameter.data.zero_()
    return Defended(inputs.suspect, 1)


def another_architecture(inputs: DefenceInputs) -> Defended:
    """Returns an encoder that is no drop-in."""
    from mimic_ray.encoders.encoder_registry import build

    return Defended(build("tiny_vit"), inputs.seed)


def nothing(inputs: DefenceInputs) -> None:
    """Forgets its result."""
    moved(inputs, 0.1)
