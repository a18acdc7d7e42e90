"""Where the weights of an encoder are in a file."""

from __future__ import annotations

from dataclasses import dataclass

from mimic_ray.weight_files.copy_choice import key_path_of
from mimic_ray.weight_files.key_sources import StoredWeight
from mimic_ray.weight_files.layout import Group


@dataclass(frozen=True)
class Copy:
    """A location with weights of the encoder."""

    group: Group
    prefix: str
    sources: dict[str, StoredWeight]  # our key -> the tensors of the group that hold it

    @property
    def keys(self) -> dict[str, str]:
        """Our key -> full key in its group, the first if it is in several tensors."""
        return {key: source.keys[0] for key, source in self.sources.items()}

    @property
    def key_path(self) -> str:
        """What `--weights` takes for it: "state_dict.module.encoder_q"."""
        return key_path_of(self.group, self.prefix)

    @property
    def used(self) -> set[str]:
        """The full keys in the group that hold the encoder."""
        return {key for source in self.sources.values() for key in source.keys}


@dataclass(frozen=True)
class KeyMatch(Copy):
    """The location of an encoder's weights in a file."""

    encoder: str
    left_out: list[str]  # full keys of the group that are not part of the encoder
    also_fits: list[str]  # other locations with a copy of the encoder
    copies: list[Copy]  # the same locations
    tied: list[str]  # other names of the same memory
    resized: list[str]  # our keys of position embeddings to interpolate
    notes: list[str]  # sentences for the user
