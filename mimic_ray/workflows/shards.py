"""Shards: build a set, check one, say what is in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mimic_ray.base.errors import UsageError
from mimic_ray.data import shard_check, shard_writer
from mimic_ray.data.image_source import open_images
from mimic_ray.data.shard_check import Problem, Summary
from mimic_ray.data.shard_writer import Built


def build_shards(
    sources: Sequence[str],
    out: Path,
    *,
    per_shard: int = 10_000,
    side: int | None = None,
    quality: int = 90,
    broken_share: float = 0.01,
    progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Writes the images of `sources` as a set of shards into the new folder `out`.

    Raises UsageError for a number out of range, and what `data.shards.build` raises.
    """
    if per_shard < 1:
        raise UsageError(f"--per-shard {per_shard}: a shard holds at least one image.")
    if side is not None and side < 1:
        raise UsageError(f"--side {side}: at least one pixel.")
    if not 0 <= broken_share < 1:
        raise UsageError(f"--broken-share {broken_share}: a share, such as 0.01.")
    if not 1 <= quality <= 100:
        raise UsageError(f"--quality {quality}: JPEG quality goes from 1 to 100.")
    return shard_writer.build(
        open_images(sources),
        out,
        per_shard=per_shard,
        side=side,
        quality=quality,
        broken_share=broken_share,
        progress=progress,
    )


def verify_shards(folder: Path) -> list[Problem]:
    """What is wrong with a set of shards; empty if nothing is."""
    return shard_check.verify(folder)


def describe_shards(location: str) -> Summary:
    """Counts, sizes and fingerprint of a set of shards."""
    return shard_check.summary(location)
