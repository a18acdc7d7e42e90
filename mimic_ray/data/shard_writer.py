"""Builds sets of shards: plain tars with a manifest. Equal images give equal bytes.

images-00000.tar ...   key.jpg (or .png ...) and, with labels, key.cls
manifest.parquet       offset, size in pixels and sha256 of each image
set.json               counts, total size, fingerprint, and each shard's size and sha256
classes.json           class names in label order, if the source has them
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import simplejpeg

from mimic_ray.base import files
from mimic_ray.base.errors import BrokenImageError
from mimic_ray.base.machine_limits import usable_cpus
from mimic_ray.base.progress import StepCallback
from mimic_ray.data import manifest
from mimic_ray.data.broken_images import check_broken
from mimic_ray.data.decode import PIXEL_LIMIT, decode, format_of
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.left_out import LeftOut
from mimic_ray.data.manifest import CLASSES, MANIFEST, SET, Entry, SetFacts, ShardFacts
from mimic_ray.data.names import IMAGE_SUFFIXES, suffix_of
from mimic_ray.data.resize import centre_square
from mimic_ray.data.shard_output import ShardOutput, new_set
from mimic_ray.data.threads import map_in_order

_CHUNK = 64
_BLOCK = 512
# In webdataset a key ends at the first dot; ustar names have at most 100 bytes.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_LONGEST_KEY = 90


@dataclass(frozen=True)
class BuiltShards:
    """A new set, the (key, reason) of the skipped images, and what the source left out."""

    folder: Path | str
    facts: SetFacts
    broken: list[tuple[str, str]]
    left_out: dict[str, LeftOut]


@dataclass(frozen=True)
class _Image:
    """One image ready for a shard; `broken` is the reason if it cannot be used."""

    row: int
    content: bytes = b""
    width: int = 0
    height: int = 0
    source_sha256: str = ""
    broken: str = ""


def build(
    source: ImageSource,
    out: Path | str,
    *,
    per_shard: int = 10_000,
    side: int | None = None,
    quality: int = 90,
    broken_share: float = 0.01,
    pixel_limit: int = PIXEL_LIMIT,
    progress: StepCallback | None = None,
) -> BuiltShards:
    """Writes the images of `source` as a new set `out`, a folder or an address.

    A folder appears only when complete. At an address the manifest is stored last, and the same
    call continues after an interruption (shard_output.py).

    With `side`, an image whose shorter side is larger becomes a JPEG of its centre square with
    `side` pixels; all others keep their bytes. Every image is decoded, so the shards contain no
    broken ones. Keys are kept if they are valid in a tar; otherwise all images are numbered, and
    the manifest column `source_key` has the original keys.

    Raises DataError if more than `broken_share` of the images are broken, WrongFolderError if
    `out` is not empty, DiskFullError, StorageError.
    """
    keys = _plain_keys(source.keys)
    labels = source.labels
    broken: list[tuple[str, str]] = []
    report = progress or (lambda done, total: None)
    with new_set(out) as output, closing(_SetWriter(output, per_shard)) as writer:
        for image in _prepared(source, side, quality, pixel_limit, report):
            if image.broken:
                broken.append((source.keys[image.row], image.broken))
                continue
            label = None if labels is None else labels[image.row]
            writer.add(keys[image.row], image, label, source.keys[image.row])
        shards = writer.finish()
        check_broken(source, broken, broken_share)
        facts = SetFacts(
            images=len(writer.entries),
            total_bytes=sum(shard.bytes for shard in shards),
            fingerprint=manifest.fingerprint(writer.entries),
            side=side,
            quality=None if side is None else quality,
            shards=shards,
        )
        files.write_bytes(output.folder / MANIFEST, manifest.to_parquet(writer.entries))
        files.write_json(output.folder / SET, asdict(facts))
        if source.classes:
            files.write_json(output.folder / CLASSES, source.classes)
    return BuiltShards(out, facts, broken, dict(source.left_out))


class _SetWriter:
    """Writes tars of at most `per_shard` images with Python's tarfile, because webdataset's writer
    has no ustar format and does not report offsets."""

    def __init__(self, output: ShardOutput, per_shard: int) -> None:
        self.entries: list[Entry] = []
        self._output, self._per_shard = output, per_shard
        self._shards: list[ShardFacts] = []
        self._tar: tarfile.TarFile | None = None
        self._name, self._images = "", 0

    def add(self, key: str, image: _Image, label: int | None, source_key: str) -> None:
        tar = self._tar or self._next()
        suffix = format_of(image.content)
        offset = tar.offset + _BLOCK
        _add_file(tar, f"{key}.{suffix}", image.content)
        if label is not None:
            _add_file(tar, f"{key}.cls", str(label).encode())
        self.entries.append(
            Entry(
                key=key,
                shard=self._name,
                offset=offset,
                size=len(image.content),
                sha256=hashlib.sha256(image.content).hexdigest(),
                width=image.width,
                height=image.height,
                format=suffix,
                label=label,
                source_key=source_key,
                source_sha256=image.source_sha256,
            )
        )
        self._images += 1
        if self._images == self._per_shard:
            self._finish_shard()

    def finish(self) -> list[ShardFacts]:
        self._finish_shard()
        return self._shards

    def close(self) -> None:
        if self._tar is not None:
            self._tar.fileobj.close()

    def _next(self) -> tarfile.TarFile:
        self._name, self._images = f"images-{len(self._shards):05}.tar", 0
        path = self._output.folder / self._name
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        return self._tar

    def _finish_shard(self) -> None:
        if self._tar is None:
            return
        self._tar.close()
        self._tar = None
        path = self._output.folder / self._name
        size = path.stat().st_size
        self._shards.append(ShardFacts(self._name, self._images, size, files.sha256(path)))
        self._output.keep(self._shards[-1])


def _add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)  # time, owner and group are 0: equal images give equal bytes
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))


def _prepared(
    source: ImageSource,
    side: int | None,
    quality: int,
    pixel_limit: int,
    report: StepCallback,
) -> Iterator[_Image]:
    def work(rows: range) -> list[_Image]:
        return [_prepare(source, row, side, quality, pixel_limit) for row in rows]

    report(0, len(source))
    for rows, images in map_in_order(work, len(source), _CHUNK, usable_cpus()):
        yield from images
        report(rows.stop, len(source))


def _prepare(
    source: ImageSource, row: int, side: int | None, quality: int, pixel_limit: int
) -> _Image:
    try:
        content = source.read(row)
        pixels = decode(content, pixel_limit)
    except BrokenImageError as error:
        return _Image(row, broken=error.message)
    sha256 = hashlib.sha256(content).hexdigest()
    if side is not None and min(pixels.shape[:2]) > side:
        pixels = centre_square(pixels, side)
        # Full colour resolution, because subsampling would blur small coloured details.
        content = simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="444")
    height, width = pixels.shape[:2]
    return _Image(row, content, width, height, sha256)


def _plain_keys(keys: Sequence[str]) -> list[str]:
    """The keys without image suffixes if all of them are valid in a tar, else row numbers."""
    stems = [key.rpartition(".")[0] if suffix_of(key) in IMAGE_SUFFIXES else key for key in keys]
    suit = all(_PLAIN_KEY.fullmatch(stem) and len(stem) <= _LONGEST_KEY for stem in stems)
    if suit and len(set(stems)) == len(stems):
        return stems
    return [f"{row:09}" for row in range(len(keys))]
