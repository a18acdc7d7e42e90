"""Verifies a set of shards against its manifest, and summarises it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import DataError, MissingDataError
from mimic_ray.base.text import count, plain
from mimic_ray.data import manifest
from mimic_ray.data.gzip_tar import is_gzip, unpacked
from mimic_ray.data.image_source import open_images
from mimic_ray.data.left_out import LeftOut, announce, sentences
from mimic_ray.data.manifest import MANIFEST, SET, Entry, SetFacts
from mimic_ray.data.names import is_shard
from mimic_ray.data.shard_index import index_tar
from mimic_ray.data.shard_set import ShardSet


@dataclass(frozen=True)
class ShardProblem:
    """A problem of one file of a set."""

    file: str
    what: str


@dataclass(frozen=True)
class ShardSummary:
    """The content of a set; `sides` are the smallest and largest side in pixels, if known."""

    location: str
    images: int
    shards: int
    image_bytes: int
    formats: dict[str, int]
    sides: tuple[int, int] | None
    labelled: bool
    classes: list[str] | None
    fingerprint: str
    left_out: dict[str, LeftOut]

    def lines(self) -> dict[str, str]:
        """The summary as labelled lines of text."""
        kinds = ", ".join(f"{number:,} {name}" for name, number in self.formats.items())
        labels = count(len(self.classes or ()), "named class", "named classes")
        return {
            "images": f"{self.images:,} in {count(self.shards, 'shard')}",
            "bytes": f"{self.image_bytes:,}",
            "formats": kinds,
            "sides": f"{self.sides[0]} to {self.sides[1]} pixels" if self.sides else "unknown",
            "labels": labels if self.labelled else "none",
            "left out": "; ".join(sentences(self.left_out)) or "nothing",
            "fingerprint": self.fingerprint,
        }


def verify(folder: Path) -> list[ShardProblem]:
    """Reads every byte of a set of shards; returns an empty list if it is intact.

    With a manifest, finds missing, truncated, changed and extra shards, and changed images. Without
    a manifest, only checks the structure of each tar: headers, sizes, end marker. Raises DataError
    if there are no shards, or if the manifest cannot be read.
    """
    if not folder.is_dir():
        raise MissingDataError(f"{folder} is not a folder.")
    there = sorted(path.name for path in folder.iterdir() if is_shard(path.name))
    if not (folder / MANIFEST).is_file():
        if not there:
            raise DataError(f"{folder} contains no shards.")
        return [problem for name in there for problem in _structure(folder / name)]
    entries = manifest.read_manifest(folder / MANIFEST)
    facts = manifest.read_set(folder)
    listed = manifest.by_shard(entries)
    problems = [p for name in listed for p in _shard(folder / name, listed[name], facts)]
    problems += [
        ShardProblem(name, f"is not in {MANIFEST}") for name in there if name not in listed
    ]
    return problems + _set(entries, facts)


def summary(location: str) -> ShardSummary:
    """Counts and sizes of the shards at `location`. Raises DataError if they cannot be used."""
    source = open_images(location)
    if not isinstance(source, ShardSet):
        raise DataError(f"{location} contains no shards: make some with `mimic-ray shards build`.")
    entries = source.entries
    sides = [side for e in entries for side in (e.width, e.height) if side is not None]
    return ShardSummary(
        location=location,
        images=len(entries),
        shards=len({entry.shard for entry in entries}),
        image_bytes=sum(entry.size for entry in entries),
        formats=dict(Counter(entry.format or "unknown" for entry in entries)),
        sides=(min(sides), max(sides)) if sides else None,
        labelled=source.labels is not None,
        classes=source.classes,
        fingerprint=source.fingerprint,
        left_out=dict(source.left_out),
    )


def _structure(path: Path) -> list[ShardProblem]:
    try:
        index = index_tar(unpacked(path) if is_gzip(path) else path, path.name)
        announce(path.name, index.left_out)
    except DataError as error:
        return [ShardProblem(path.name, error.message)]
    return []


def _shard(path: Path, listed: Sequence[Entry], facts: SetFacts | None) -> list[ShardProblem]:
    """The first problem of a shard, if it has any."""
    if not path.is_file():
        return [ShardProblem(path.name, f"is missing, with {count(len(listed), 'image')}")]
    built = next((s for s in facts.shards if s.name == path.name), None) if facts else None
    size = path.stat().st_size
    if built and size != built.bytes:
        how = "truncated" if size < built.bytes else "longer than it was"
        return [ShardProblem(path.name, f"is {how}: {size:,} bytes, built with {built.bytes:,}")]
    try:
        found = {entry.key: entry for entry in index_tar(path, path.name).entries}
    except DataError as error:
        return [ShardProblem(path.name, error.message)]
    differ = [e.key for e in listed if not _same(e, found.pop(e.key, None))]
    if differ:
        what = f"{count(len(differ), 'image')} changed or missing, first {plain(differ[0])}"
        return [ShardProblem(path.name, what)]
    if found:
        what = f"{count(len(found), 'image')} not in {MANIFEST}, first {plain(next(iter(found)))}"
        return [ShardProblem(path.name, what)]
    if built and files.sha256(path) != built.sha256:
        return [
            ShardProblem(path.name, "other bytes than its images changed (a header or a label)")
        ]
    return []


def _same(listed: Entry, found: Entry | None) -> bool:
    return found is not None and (
        (listed.offset, listed.size, listed.sha256, listed.label)
        == (found.offset, found.size, found.sha256, found.label)
    )


def _set(entries: Sequence[Entry], facts: SetFacts | None) -> list[ShardProblem]:
    if facts is None:
        return [ShardProblem(SET, "is missing")]
    if facts.images != len(entries) or facts.fingerprint != manifest.fingerprint(entries):
        return [ShardProblem(MANIFEST, f"does not match {SET}: one of them was changed")]
    return []
