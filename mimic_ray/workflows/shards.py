"""Builds, verifies and describes image shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.base.storage_address import parse
from mimic_ray.data import shard_check, shard_writer
from mimic_ray.data.decode import LARGEST_PIXEL_LIMIT, PIXEL_LIMIT
from mimic_ray.data.image_source import open_announced
from mimic_ray.data.shard_check import ShardProblem, ShardSummary
from mimic_ray.data.shard_writer import BuiltShards


def build_shards(
    sources: Sequence[str],
    out: str | Path,
    *,
    per_shard: int = 10_000,
    side: int | None = None,
    quality: int = 90,
    broken_share: float = 0.01,
    max_megapixels: float = 50,
    on_progress: ProgressCallback = ignore_progress,
) -> BuiltShards:
    """Writes the images of `sources` as shards to the new folder or address `out`.

    Raises UsageError for a number out of range, DataError for sources that cannot be used,
    RunFolderError for an output that is not empty, StorageError.
    """
    if per_shard < 1:
        raise UsageError(f"{option('per_shard', per_shard)} must be 1 or more.")
    if side is not None and side < 1:
        raise UsageError(f"{option('side', side)} must be 1 pixel or more.")
    if not 0 <= broken_share < 1:
        raise UsageError(f"{option('broken_share', broken_share)} must be between 0 and 1.")
    largest = LARGEST_PIXEL_LIMIT / 1e6
    if not 0 < max_megapixels <= largest:
        raise UsageError(
            f"{option('max_megapixels', max_megapixels)} must be above 0 and at most {largest:g}."
        )
    if max_megapixels * 1e6 > PIXEL_LIMIT and side is None:
        raise UsageError(
            f"{option('max_megapixels', max_megapixels)} needs {option('side')}: images above "
            f"{PIXEL_LIMIT / 1e6:g} megapixels are read only to make smaller ones."
        )
    if not 1 <= quality <= 100:
        raise UsageError(f"{option('quality', quality)} must be between 1 and 100.")
    return shard_writer.build(
        open_announced(sources),
        out,
        per_shard=per_shard,
        side=side,
        quality=quality,
        broken_share=broken_share,
        pixel_limit=int(max_megapixels * 1e6),
        progress=lambda done, total: on_progress(Progress("Packing images", done, total)),
    )


def verify_shards(folder: str | Path) -> list[ShardProblem]:
    """The problems of a set of shards; empty if it is intact."""
    address = parse(folder)
    if address.remote:
        raise UsageError(
            f"{address.shown}: this needs a local folder; aws s3 cp --recursive downloads it."
        )
    return shard_check.verify(Path(address.path))


def describe_shards(location: str) -> ShardSummary:
    """Counts, sizes and fingerprint of a set of shards."""
    return shard_check.summary(location)
