"""The keys of a file as they are compared: as they stand, and without the words of wrappers.

torch.compile, FSDP, activation checkpointing and data parallelism wrap modules anywhere in a
network, and each writes its own word into the keys of what it wraps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mimic_ray.base.text import plain
from mimic_ray.weight_files.key_sources import StoredWeight
from mimic_ray.weight_files.layout import Group, Layout
from mimic_ray.weight_files.publisher_keys import PublisherKeys
from mimic_ray.weight_files.tensor_info import TensorInfo, TensorInfos

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})


@dataclass(frozen=True)
class KeyView:
    """The tensors of one group by the keys that are compared.

    `files` has the key in the file, the first one if there are several: then `sources` has all.
    """

    group: Group
    tensors: TensorInfos
    files: Mapping[str, str]
    sources: Mapping[str, StoredWeight] = field(default_factory=dict)
    publisher: PublisherKeys | None = None

    def info(self, key: str) -> TensorInfo | None:
        if source := self.sources.get(key):
            return source.info(self.tensors)
        found = self.files.get(key)
        return None if found is None else self.tensors[found]

    def shown(self, prefix: str, key: str) -> str:
        """The name in the file of `prefix` + `key`, which may be missing there."""
        full = prefix + key
        if full in self.files:
            source = self.sources.get(full)
            return plain(" + ".join(source.keys) if source else self.files[full])
        return plain(prefix + (self.publisher.their_name(key) if self.publisher else key))

    def prefixes(self, key: str) -> Iterator[str]:
        """Every prefix under which there is a tensor `key`."""
        tail = _tail(key)
        for found in self._by_tail.get(tail, ()) if "." in tail else self.files:
            if found == key or found.endswith(f".{key}"):
                yield found[: len(found) - len(key)]

    @cached_property
    def _by_tail(self) -> dict[str, list[str]]:
        tails: dict[str, list[str]] = {}
        for key in self.files:
            tails.setdefault(_tail(key), []).append(key)
        return tails


def plain_views(layout: Layout) -> list[KeyView]:
    """The views of all groups. Two keys that differ in wrappers alone stay as they are."""
    views = []
    for group, tensors in layout.groups.items():
        views.append(KeyView(group, tensors, {key: key for key in tensors}))
        unwrapped = {_unwrapped(key): key for key in tensors}
        if len(unwrapped) == len(tensors) and unwrapped.keys() != tensors.keys():
            views.append(KeyView(group, tensors, unwrapped))
    return views


def _unwrapped(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in WRAPPERS)


def _tail(key: str) -> str:
    """The last two parts: few keys of a network have the same."""
    return ".".join(key.rsplit(".", 2)[-2:])
