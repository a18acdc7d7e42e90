"""The weights of an encoder from the tensors of a file; key_match.py finds which ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic_ray.encoders import positions
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.weight_files.key_match import require_match
from mimic_ray.weight_files.layout import Group
from mimic_ray.weight_files.located_weights import Copy, KeyMatch
from mimic_ray.weight_files.read import Checkpoint
from mimic_ray.weight_files.tensor_info import infos

StoredKey = tuple[Group, str]  # a group and a key in a file


@dataclass(frozen=True)
class Fit(KeyMatch):
    """A match with the weights; `state` loads into `Encoder.net`."""

    state: dict[str, Tensor]  # keys, shapes and dtypes of Encoder.net
    shared: dict[StoredKey, Tensor]  # tensors of the file that also hold other weights

    def in_file(self, copy: Copy, state: Mapping[str, Tensor]) -> dict[StoredKey, Tensor]:
        """Weights by our keys -> the tensors that replace those of a copy in the file."""
        shared = {
            key: tensor for (group, key), tensor in self.shared.items() if group == copy.group
        }
        written: dict[str, Tensor] = {}
        for key, weight in state.items():
            if source := copy.sources.get(key):
                written |= source.write(weight, shared | written)
        return {(copy.group, key): tensor for key, tensor in written.items()}


def fit(checkpoint: Checkpoint, encoder: Encoder) -> Fit:
    """The encoder's weights in the file, converted to float32.

    Raises WrongEncoderError with the first keys that do not fit, and with encoders that do.
    """
    expected, spec = encoder.net.state_dict(), encoder.spec
    match = require_match(checkpoint.layout(), spec.name, spec.input_size, infos(expected))
    tensors = checkpoint.groups[match.group]
    state = {}
    for key, template in expected.items():
        source = match.sources.get(key)
        if source is None:  # num_batches_tracked of an old file
            state[key] = torch.zeros(template.shape, dtype=template.dtype)
            continue
        found = source.read(tensors)
        if key in match.resized:
            found = positions.resampled(found, template.shape)
        state[key] = found.to(template.dtype)
    shared = {
        (copy.group, source.keys[0]): checkpoint.groups[copy.group][source.keys[0]]
        for copy in (match, *match.copies)
        for source in copy.sources.values()
        if source.is_part
    }
    return Fit(**vars(match), state=state, shared=shared)
