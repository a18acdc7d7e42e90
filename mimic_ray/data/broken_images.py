"""The limit on broken images in a set."""

from __future__ import annotations

from collections.abc import Sequence

from mimic_ray.base.errors import DataError
from mimic_ray.base.text import count, plain
from mimic_ray.data.encoded_images import ImageSource


def check_broken(source: ImageSource, broken: Sequence[tuple[str, str]], limit: float) -> None:
    """Raises DataError if all images, or more than the share `limit`, are broken.

    `broken` has the key and the reason of each one.
    """
    total = len(source)
    if not broken or (len(broken) < total and len(broken) <= limit * total):
        return
    first = "; ".join(f"{plain(key, 80)} ({plain(reason, 80)})" for key, reason in broken[:3])
    more = f" and {len(broken) - 3:,} more" if len(broken) > 3 else ""
    images = f"{count(total, 'image')} in {source.location}"
    if len(broken) == total:
        raise DataError(f"None of {images} can be decoded: {first}{more}.")
    raise DataError(
        f"{len(broken):,} of {images} are broken, more than the limit of {limit:.2%}: "
        f"{first}{more}. {_way_out(broken)}"
    )


def _way_out(broken: Sequence[tuple[str, str]]) -> str:
    if all("megapixels" in reason for _, reason in broken):
        return (
            "Make smaller copies: mimic-ray shards build SOURCE --side 512 --max-megapixels 178 "
            "--out FOLDER."
        )
    return "Remove or replace them."
