"""The weights of an encoder from the tensors of a file; key_match.py finds which ones."""

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
    """A match with the weights; `state` loads into `Encoder.net`."""

    state: dict[str, Tensor]  # keys, shapes and dtypes of Encoder.net


def fit(checkpoint: Checkpoint, encoder: Encoder) -> Fit:
    """The encoder's weights in the file, converted to float32.

    Raises WrongEncoderError with the first keys that do not fit, and with encoders that do.
    """
    expected, spec = encoder.net.state_dict(), encoder.spec
    match = require_match(checkpoint.layout(), spec.name, spec.input_size, infos(expected))
    tensors = checkpoint.groups[match.group]
    state = {}
    for key, template in expected.items():
        if key in match.resized:
            state[key] = positions.resampled(tensors[match.keys[key]], template.shape).to(
                template.dtype
            )
        elif key in match.keys:
            state[key] = tensors[match.keys[key]].to(template.dtype)
        else:  # num_batches_tracked of an old file
            state[key] = torch.zeros(template.shape, dtype=template.dtype)
    return Fit(**vars(match), state=state)
