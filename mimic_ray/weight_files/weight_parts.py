"""The files that make up one checkpoint, and those of an index or of numbered parts.

Nothing is opened but an index, and nothing outside its folder is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    MissingCheckpointError,
    NotACheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain
from mimic_ray.weight_files import sniff

INDEX_LIMIT_BYTES = 25 << 20
PART_LIMIT = 10_000

PART = re.compile(
    r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})(?P<suffix>\.(?:safetensors|bin|pth?))"
)


@dataclass(frozen=True)
class WeightFiles:
    """One checkpoint: its files with weights, in the order of their names."""

    files: tuple[Path, ...]
    folder: Path | None = None  # of a checkpoint that is more than one file of weights
    index: Mapping[str, str] = field(default_factory=dict)  # key -> the name of its part
    is_dcp: bool = False  # of torch.distributed.checkpoint; its index is the first file
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def export_name(self) -> str:
        """The name of a copy in the same layout: a file's or a folder's."""
        if self.folder is None:
            return self.files[0].name
        folder = self.folder.absolute()
        # The cache of huggingface_hub: models--OWNER--NAME/snapshots/REVISION.
        if folder.parent.name == "snapshots":
            return folder.parents[1].name.rpartition("--")[2]
        return folder.resolve().name or "weights"


def is_index(name: str) -> bool:
    return re.fullmatch(r".+\.index(\.[\w-]+)?\.json", name) is not None


def part_of(name: str) -> str:
    """What a numbered part is of: "model.safetensors"; "" if it is not a part."""
    part = PART.fullmatch(name)
    return f"{part['stem']}{part['suffix']}" if part else ""


def by_index(index: Path) -> WeightFiles:
    """The parts in the `weight_map` of an index, all of which must lie beside it."""
    name = sniff.shown(index)
    table = _read_index(index, name)
    parts = sorted(set(table.values()))
    for part in parts:
        if part in ("", ".", "..") or set(part) & {"/", "\\", "\0"}:
            raise UnsafeCheckpointError(
                f'{name} names "{plain(part, 80)}", which is outside of its folder. Nothing was '
                "read. Ask its author for the weights in one file."
            )
    if len(parts) > PART_LIMIT:
        raise UnsafeCheckpointError(
            f"{name} names {len(parts):,} parts, over the limit of {PART_LIMIT:,}. Ask its author "
            "for the weights in one file."
        )
    _require_all([index.with_name(part) for part in parts], name)
    return WeightFiles(tuple(index.with_name(part) for part in parts), index.parent, table)


def by_numbers(path: Path) -> WeightFiles:
    """All parts of a `NAME-00001-of-00003` whose index is not there."""
    part = PART.fullmatch(path.name)
    assert part is not None
    total = int(part["total"])
    if not 0 < int(part["number"]) <= total <= PART_LIMIT:
        return WeightFiles((path,))
    names = [
        f"{part['stem']}-{number:05}-of-{part['total']}{part['suffix']}"
        for number in range(1, total + 1)
    ]
    parts = tuple(path.with_name(name) for name in names)
    _require_all(parts, f"{sniff.shown(path)} is one of {total:,} parts; the set")
    return WeightFiles(parts, path.parent)


def _require_all(parts: tuple[Path, ...] | list[Path], name: str) -> None:
    missing = [part for part in parts if not part.exists()]
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise MissingCheckpointError(
            f"{name} needs {plain(missing[0].name)}{more}, missing in "
            f"{plain(missing[0].parent)}, where {len(parts) - len(missing):,} of {len(parts):,} "
            "parts are: download or copy the missing ones too."
        )


def _read_index(index: Path, name: str) -> dict[str, str]:
    with sniff.opened(index, INDEX_LIMIT_BYTES) as file:
        text = file.read()
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise DamagedCheckpointError(
            f"{name} is a damaged index ({plain(error, 80)}): download or copy it again."
        ) from error
    table: Any = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(table, dict) or not all(isinstance(part, str) for part in table.values()):
        raise NotACheckpointError(
            f"{name} has no weight_map, which says in which part each weight is: give the file "
            "with the weights, or their folder."
        )
    if not table:
        raise NotACheckpointError(f"{name} lists no weights: download or copy it again.")
    return table


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name occurs twice")
    return table
