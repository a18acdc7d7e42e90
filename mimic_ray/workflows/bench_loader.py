"""Our reading of images against the plain way, as CPU seconds an image. One thread decodes.

32 px    webdataset streams the tar and decodes with PIL; ours reads single members at their
         offsets, in random order, and decodes with libjpeg-turbo
256 px   images streamed and decoded in every epoch, from a local tar and from S3, against the file
         of decoded images that our first epoch fills
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import simplejpeg
import torch
import webdataset

from mimic_ray.base.storage import open_storage
from mimic_ray.data.cache import Pixels, open_pixels
from mimic_ray.data.decode import decode
from mimic_ray.data.image_source import open_images
from mimic_ray.workflows import local_s3
from mimic_ray.workflows.bench_ratio import Ratio, one_thread, picture_pixels, take_turns

_SIDE = 256
_BATCH = 64
_BUCKET = "bench"


def bench_loader(seconds: float = 3.0, images: int = 2000) -> list[Ratio]:
    """Seconds an image, from shards made for this in a temporary folder.

    The rows about S3 need the packages of `workflows.local_s3` and are left out without them.
    """
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        return [
            _against_webdataset(Path(folder), seconds, images),
            *_against_streaming(Path(folder), seconds, images // 8),
        ]


def _against_webdataset(folder: Path, seconds: float, images: int) -> Ratio:
    shard = folder / "small.tar"
    _write_shard(shard, images, 32, quality=75)
    source = open_images(shard)
    order = np.random.default_rng(0).permutation(len(source)).tolist()

    def plain() -> int:
        samples = webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8")
        with warnings.catch_warnings():
            # It leaves its files to the collector.
            warnings.simplefilter("ignore", ResourceWarning)
            return sum(1 for _ in samples)

    def ours() -> int:
        return sum(1 for index in order if decode(source.read(index)).size)

    plain_s, ours_s = take_turns(plain, ours, seconds)
    return Ratio(
        name="read and decode, 32 px",
        plain_s=plain_s / images,
        ours_s=ours_s / images,
        wanted=8.0,
        detail='32 px: seconds an image, one thread; webdataset .decode("rgb8"); our index of the '
        "shard is made once, before",
    )


def _against_streaming(folder: Path, seconds: float, images: int) -> Iterator[Ratio]:
    """An epoch that streams, from wherever, over one that reads the file of decoded images."""
    shard = folder / "large" / "large.tar"
    shard.parent.mkdir()
    _write_shard(shard, images, _SIDE, quality=90)
    size = shard.stat().st_size
    with ExitStack() as stack:
        places = {"a local tar": str(shard.parent)}
        if local_s3.is_there():
            stack.enter_context(_environment(stack.enter_context(local_s3.local_s3())))
            local_s3.create_bucket(_BUCKET)
            places["S3"] = f"s3://{_BUCKET}/set"
            open_storage(places["S3"]).write(shard.name, shard)
        for name, place in places.items():
            source, cache = open_images(place), folder / "cache"
            streamed = open_pixels(source, _SIDE, memory_limit_bytes=0, disk_limit_bytes=0)
            kept = open_pixels(source, _SIDE, memory_limit_bytes=0, cache_folder=cache)
            plain_s, ours_s = take_turns(_epoch(streamed), _epoch(kept), seconds)
            rates = f"{images / plain_s:,.0f} and {images / ours_s:,.0f} images/s a core"
            yield Ratio(
                name=f"an epoch from {name} / from the cache, {_SIDE} px",
                plain_s=plain_s / images,
                ours_s=ours_s / images,
                wanted=5.0,
                detail=f"{_SIDE} px from {name}: {rates}; {size / plain_s / 1e6:,.0f} MB/s of "
                f"JPEGs a core, {3 * _SIDE**2 * images / ours_s / 1e6:,.0f} MB/s of pixels",
            )


def _epoch(pixels: Pixels) -> Callable[[], int]:
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))

    def read() -> int:
        return sum(len(pixels.gather(batch)) for batch in order.split(_BATCH))

    return read


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _write_shard(path: Path, images: int, side: int, quality: int) -> None:
    # Large pictures take long to make: a few of them, many times.
    made = picture_pixels(min(images, images * 32 // side), side)
    pixels = made.permute(0, 2, 3, 1).contiguous().numpy()
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(images):
            image = pixels[number % len(pixels)]
            encoded = simplejpeg.encode_jpeg(image, quality=quality, colorsubsampling="420")
            for suffix, content in ((".jpg", encoded), (".cls", b"0")):
                member = tarfile.TarInfo(f"{number:06d}{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
