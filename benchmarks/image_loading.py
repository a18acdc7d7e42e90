"""Reading images, as CPU seconds per image with one decoding thread.

32 px    baseline: webdataset streams a tar and decodes with PIL.
         ours: single members at their offsets, in random order, decoded with libjpeg-turbo
256 px   baseline: every epoch reads and decodes the images again, from a local tar or from S3.
         ours: later epochs read the cache of decoded images that the first epoch filled
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import simplejpeg
import torch
import webdataset

from benchmarks.ratio import Ratio, measure, one_thread, parser, show
from mimic_ray.base.storage import open_storage
from mimic_ray.data.decode import decode
from mimic_ray.data.decoded_set import Pixels, open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.synthetic_images import synthetic_pixels
from tests.support import local_s3

_SIDE = 256
_BATCH = 64
_BUCKET = "bench"


def benchmark(seconds: float = 3.0, images: int = 2000) -> list[Ratio]:
    """Seconds per image, from shards made for this in a temporary folder.

    The rows about S3 need moto, which is in the dev extra, and are left out without it.
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

    def baseline() -> int:
        samples = webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8")
        with warnings.catch_warnings():
            # It leaves closing its files to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            return sum(1 for _ in samples)

    def ours() -> int:
        return sum(1 for index in order if decode(source.read(index)).size)

    taken = measure({"baseline": baseline, "ours": ours}, seconds=seconds)
    return Ratio(
        name="read and decode, 32 px",
        baseline_s=taken["baseline"] / images,
        ours_s=taken["ours"] / images,
        target=8.0,
        detail='32 px: seconds per image, one thread; webdataset .decode("rgb8"); our index of the '
        "shard is made once, before",
    )


def _against_streaming(folder: Path, seconds: float, images: int) -> Iterator[Ratio]:
    """An epoch that reads and decodes every image, against one from the cache."""
    shard = folder / "large" / "large.tar"
    shard.parent.mkdir()
    _write_shard(shard, images, _SIDE, quality=90)
    size = shard.stat().st_size
    with ExitStack() as stack:
        locations = {"a local tar": str(shard.parent)}
        if local_s3.is_installed():
            stack.enter_context(_environment(stack.enter_context(local_s3.local_s3())))
            local_s3.create_bucket(_BUCKET)
            locations["S3"] = f"s3://{_BUCKET}/set"
            open_storage(locations["S3"]).write(shard.name, shard)
        for name, location in locations.items():
            source, cache = open_images(location), folder / "cache"
            streamed = open_pixels(source, _SIDE, memory_limit_bytes=0, disk_limit_bytes=0)
            cached = open_pixels(source, _SIDE, memory_limit_bytes=0, cache_folder=cache)
            taken = measure(
                {"streamed": _epoch(streamed), "cached": _epoch(cached)}, seconds=seconds
            )
            streamed_s, cached_s = taken["streamed"], taken["cached"]
            yield Ratio(
                name=f"an epoch from {name} / from the cache, {_SIDE} px",
                baseline_s=streamed_s / images,
                ours_s=cached_s / images,
                target=5.0,
                detail=f"{_SIDE} px from {name}: {images / streamed_s:,.0f} images/s a core, "
                f"{size / streamed_s / 1e6:,.0f} MB/s of JPEGs; from the cache "
                f"{images / cached_s:,.0f} images/s a core",
            )


def _epoch(pixels: Pixels) -> Callable[[], int]:
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    return lambda: sum(len(pixels.gather(batch)) for batch in order.split(_BATCH))


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
    # Large images take long to make, so a few of them are repeated.
    made = synthetic_pixels(min(images, images * 32 // side), side)
    pixels = made.permute(0, 2, 3, 1).contiguous().numpy()
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(images):
            image = pixels[number % len(pixels)]
            encoded = simplejpeg.encode_jpeg(image, quality=quality, colorsubsampling="420")
            for suffix, content in ((".jpg", encoded), (".cls", b"0")):
                member = tarfile.TarInfo(f"{number:06d}{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=3.0, help="to measure each row for")
    options.add_argument("--images", type=int, default=2000, help="in the shard of 32 px")
    parsed = options.parse_args(arguments)
    show(benchmark(parsed.seconds, parsed.images), as_json=parsed.json)


if __name__ == "__main__":
    main()
