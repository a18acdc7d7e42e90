"""Our reading of shards against webdataset's default decoding, on 32-pixel JPEGs. One thread.

webdataset streams the tar and decodes with PIL; ours reads single members at their offsets, in
random order, and decodes with libjpeg-turbo. Both end with uint8 [H, W, 3] arrays.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import warnings
from pathlib import Path

import numpy as np
import simplejpeg
import webdataset

from mimic_ray.data.decode import decode
from mimic_ray.data.source import open_images
from mimic_ray.workflows.bench_ratio import Ratio, one_thread, picture_pixels, take_turns


def bench_loader(seconds: float = 3.0, images: int = 2000) -> list[Ratio]:
    """Seconds an image, from shards of `images` images made for this in a temporary folder."""
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "shard.tar"
        _write_shard(shard, images)
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
    return [
        Ratio(
            name="read and decode, 32 px",
            plain_s=plain_s / images,
            ours_s=ours_s / images,
            wanted=8.0,
            detail='seconds an image, one thread; webdataset .decode("rgb8"); our index of the '
            "shard is made once, before",
        )
    ]


def _write_shard(path: Path, images: int) -> None:
    pixels = picture_pixels(images, 32).permute(0, 2, 3, 1).contiguous().numpy()
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, image in enumerate(pixels):
            encoded = simplejpeg.encode_jpeg(image, quality=75, colorsubsampling="420")
            for suffix, content in ((".jpg", encoded), (".cls", b"0")):
                member = tarfile.TarInfo(f"{number:06d}{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
