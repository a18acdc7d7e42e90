"""From the tensors of a file to the weights of an encoder: see key_match.py for which are taken."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mimic_ray.encoders import positions
from mimic_ray.encoders.checkpoint.key_match import KeyMatch, require_match
from mimic_ray.encoders.checkpoint.layout import infos
from mimic_ray.encoders.checkpoint.read import Checkpoint
from mimic_ray.encoders.encoder import Encoder


@dataclass(frozen=True)
class Fit(KeyMatch):
    """A match with the weights themselves; `state` loads into `Encoder.net`."""

    state: dict[str, Tensor]  # keys, shapes and dtypes of Encoder.net


def fit(checkpoint: Checkpoint, encoder: Encoder) -> Fit:
    """The encoder's weights in the file, float32 whatever the file's precision.

    Raises WrongEncoderError with the first keys that do not fit, and what would.
    """
    wanted, spec = encoder.net.state_dict(), encoder.spec
    match = require_match(checkpoint.layout(), spec.name, spec.input_size, infos(wanted))
    tensors = checkpoint.groups[match.group]
    state = {}
    for key, want in wanted.items():
        if key in match.resized:
            state[key] = positions.resampled(tensors[match.keys[key]], want.shape).to(want.dtype)
        elif key in match.keys:
            state[key] = tensors[match.keys[key]].to(want.dtype)
        else:  # num_batches_tracked of an old file
            state[key] = torch.zeros(want.shape, dtype=want.dtype)
    return Fit(**vars(match), state=state)
