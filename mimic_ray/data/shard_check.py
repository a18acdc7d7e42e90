"""Whether a set of shards is what was built, and what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import DataError
from mimic_ray.base.text import count, plain
from mimic_ray.data import manifest
from mimic_ray.data.image_source import open_images
from mimic_ray.data.manifest import MANIFEST, SET, Entry, SetFacts
from mimic_ray.data.names import is_shard
from mimic_ray.data.remote_shards import RemoteShards
from mimic_ray.data.tar_shards import TarShards, image_entries
from mimic_ray.data.unpack import is_gzip, unpacked


@dataclass(frozen=True)
class Problem:
    """One file of a set and what is wrong with it."""

    file: str
    what: str


@dataclass(frozen=True)
class Summary:
    """What a set holds. `sides` are (smallest, largest) in pixels where a manifest says so."""

    location: str
    images: int
    shards: int
    image_bytes: int
    formats: dict[str, int]
    sides: tuple[int, int] | None
    labelled: bool
    classes: list[str] | None
    fingerprint: str

    def lines(self) -> dict[str, str]:
        """What a person wants to read, line by line."""
        kinds = ", ".join(f"{number:,} {name}" for name, number in self.formats.items())
        labels = count(len(self.classes or ()), "named class", "named classes")
        return {
            "images": f"{self.images:,} in {count(self.shards, 'shard')}",
            "bytes": f"{self.image_bytes:,}",
            "formats": kinds,
            "sides": f"{self.sides[0]} to {self.sides[1]} pixels"
            if self.sides
            else "not looked at",
            "labels": labels if self.labelled else "none",
            "fingerprint": self.fingerprint,
        }


def verify(folder: Path) -> list[Problem]:
    """Reads every byte of a set of shards; an empty list says that it is whole.

    Against the manifest: missing, cut, changed and surplus shards, and single images. Without a
    manifest only what a tar says of itself: headers, sizes, end marker. Raises DataError if there
    are no shards, or a manifest that cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder of shards.")
    there = sorted(path.name for path in folder.iterdir() if is_shard(path))
    if not (folder / MANIFEST).is_file():
        if not there:
            raise DataError(f"{folder} holds no shards.")
        return [problem for name in there for problem in _structure(folder / name)]
    entries = manifest.read_manifest(folder / MANIFEST)
    facts = manifest.read_set(folder)
    wanted: dict[str, list[Entry]] = {}
    for entry in entries:
        wanted.setdefault(entry.shard, []).append(entry)
    problems = [p for name in wanted for p in _shard(folder / name, wanted[name], facts)]
    problems += [Problem(name, f"is not in {MANIFEST}") for name in there if name not in wanted]
    return problems + _set(entries, facts)


def summary(location: str) -> Summary:
    """Counts and sizes of the shards at `location`. Raises DataError if they cannot be used."""
    source = open_images(location)
    if not isinstance(source, TarShards | RemoteShards):
        raise DataError(f"{location} holds no shards: make some with mimic-ray shards build.")
    entries = source.entries
    sides = [side for e in entries for side in (e.width, e.height) if side is not None]
    return Summary(
        location=location,
        images=len(entries),
        shards=len({entry.shard for entry in entries}),
        image_bytes=sum(entry.size for entry in entries),
        formats=dict(Counter(entry.format or "not looked at" for entry in entries)),
        sides=(min(sides), max(sides)) if sides else None,
        labelled=source.labels is not None,
        classes=source.classes,
        fingerprint=source.fingerprint,
    )


def _structure(path: Path) -> list[Problem]:
    try:
        image_entries(unpacked(path) if is_gzip(path) else path, path.name)
    except DataError as error:
        return [Problem(path.name, error.message)]
    return []


def _shard(path: Path, wanted: Sequence[Entry], facts: SetFacts | None) -> list[Problem]:
    """The first thing that is wrong with one shard, if anything is."""
    if not path.is_file():
        return [Problem(path.name, f"is missing, with {count(len(wanted), 'image')}")]
    built = next((s for s in facts.shards if s.name == path.name), None) if facts else None
    size = path.stat().st_size
    if built and size != built.bytes:
        how = "cut" if size < built.bytes else "longer than it was"
        return [Problem(path.name, f"is {how}: {size:,} bytes, built with {built.bytes:,}")]
    try:
        found = {entry.key: entry for entry in image_entries(path, path.name)}
    except DataError as error:
        return [Problem(path.name, error.message)]
    differ = [e.key for e in wanted if not _same(e, found.pop(e.key, None))]
    if differ:
        what = f"{count(len(differ), 'image')} changed or gone, first {plain(differ[0])}"
        return [Problem(path.name, what)]
    if found:
        what = f"{count(len(found), 'image')} too many, first {plain(next(iter(found)))}"
        return [Problem(path.name, what)]
    if built and files.sha256(path) != built.sha256:
        return [Problem(path.name, "its images are whole, other bytes (a header, a label) changed")]
    return []


def _same(wanted: Entry, found: Entry | None) -> bool:
    return found is not None and (
        (wanted.offset, wanted.size, wanted.sha256, wanted.label)
        == (found.offset, found.size, found.sha256, found.label)
    )


def _set(entries: Sequence[Entry], facts: SetFacts | None) -> list[Problem]:
    if facts is None:
        return [Problem(SET, "is missing")]
    if facts.images != len(entries) or facts.fingerprint != manifest.fingerprint(entries):
        return [Problem(MANIFEST, f"does not agree with {SET}: one of them was changed")]
    return []
