"""Images/s of one worker from an S3 server with a delay before each answer, beside local disk.

Needs moto (in the `dev` extra). Whole shards are copied to the cache folder; "ranges" is what
happens where not even a few fit: a request for each image, in every epoch. "webdataset" streams
the shard with curl through a buffer of 1,000 images, and decodes it with PIL in every epoch. Ray
Data does the same in a task with one CPU (`--ray-data`). Hosts are processes with cache folders of
their own, which read their shares of the same batches.

    python -m benchmarks.object_storage [--images 2000] [--delays 10,30,150] [--hosts 3]
        [--ray-data] [--no-ranges]
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch
import webdataset
from PIL import Image
from pyarrow import fs

from mimic_ray.base.storage import open_storage
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.image_source import open_images
from mimic_ray.data.shard_writer import build
from mimic_ray.distributed.ray_session import ray_session
from tests.support.local_s3 import create_bucket, local_s3

_SIDE, _BATCH, _PER_SHARD = 224, 64, 2000
_BUFFER = 1000


class Delay(BaseHTTPRequestHandler):
    """Passes requests on to a server after `seconds`, and counts them."""

    protocol_version = "HTTP/1.1"
    server_address = ""
    seconds = 0.0
    made = 0

    def _pass_on(self) -> None:
        Delay.made += 1
        time.sleep(Delay.seconds)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = HTTPConnection(Delay.server_address)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if not answer.getheader("Content-Length"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def handle(self) -> None:
        with suppress(ConnectionError):  # a host has ended
            super().handle()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def delayed(server: str) -> Iterator[str]:
    """The URL of `Delay` before an S3 server."""
    Delay.server_address = server.removeprefix("http://")
    front = ThreadingHTTPServer(("127.0.0.1", 0), Delay)
    front.daemon_threads = True
    Thread(target=front.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{front.server_port}"
    finally:
        front.shutdown()
        front.server_close()


def write_images(folder: Path, count: int) -> None:
    """Smooth noise as JPEG, about 30 kB each."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(count):
        coarse = noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((320, 320), Image.Resampling.BICUBIC)
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=92)
        (folder / f"{number:06}.jpg").write_bytes(content.getvalue())


def epochs(location: str, cache: Path, gib: str, rank: int = 0, hosts: int = 1) -> list[float]:
    """Images/s of two epochs, with an empty cache folder at the start."""
    os.environ |= {"MIMIC_RAY_CACHE": str(cache), "MIMIC_RAY_CACHE_GIB": gib}
    torch.set_num_threads(1)
    rates = []
    start = time.monotonic()
    pixels = open_pixels(open_images(location), _SIDE, memory_limit_bytes=0)
    plan = EpochPlan(len(pixels), _BATCH, 0)
    for epoch in range(2):
        for step in range(plan.steps_per_epoch):
            share = plan.share(epoch * plan.steps_per_epoch + step, rank, hosts)
            pixels.gather(share)
        rates.append(plan.steps_per_epoch * len(share) / (time.monotonic() - start))
        start = time.monotonic()
    return rates


def streamed(server: str, names: list[str]) -> list[float]:
    """The same by webdataset, in an order that its buffer shuffles."""
    rates = []
    for _ in range(2):
        start, images = time.monotonic(), 0
        shards = [f"pipe:curl -sf {server}/bucket/set/{name}" for name in names]
        for sample in (
            webdataset.WebDataset(shards, shardshuffle=False).shuffle(_BUFFER).decode("pil")
        ):
            np.asarray(sample["jpg"].resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
            images += 1
        rates.append(images / (time.monotonic() - start))
    return rates


def by_ray_data(server: str, names: list[str], log: Path) -> list[float]:
    """The same by Ray Data, in the order of the shards."""
    from ray import data

    address = server.removeprefix("http://")
    s3 = fs.S3FileSystem(endpoint_override=address, scheme="http")
    rates = []
    with ray_session(None, log, 1):
        data.DataContext.get_current().enable_progress_bars = False
        shards = data.read_webdataset([f"bucket/set/{name}" for name in names], filesystem=s3)
        resized = shards.map(_resized)
        for _ in range(2):
            start, images = time.monotonic(), 0
            for batch in resized.iter_batches(batch_size=_BATCH):
                images += len(batch["pixels"])
            rates.append(images / (time.monotonic() - start))
    return rates


def _resized(sample: dict[str, Any]) -> dict[str, Any]:
    image = Image.fromarray(sample["jpg"])
    return {"pixels": np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))}


def hosts_together(location: str, work: Path, gib: str, hosts: int) -> list[float]:
    """Images/s of all hosts in each epoch."""
    if hosts == 1:
        return epochs(location, work, gib)
    ranks = [(location, work / str(rank), gib, rank, hosts) for rank in range(hosts)]
    with get_context("spawn").Pool(hosts) as pool:
        return [sum(rates) for rates in zip(*pool.starmap(epochs, ranks), strict=True)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=2000)
    arguments.add_argument("--delays", default="10,30,150", help="milliseconds")
    arguments.add_argument("--hosts", type=int, default=1, help="also this many at a time")
    arguments.add_argument("--ray-data", action="store_true", help="also read by Ray Data")
    arguments.add_argument("--no-ranges", action="store_true", help="which take most of the time")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made, local_s3() as environment:
        os.environ |= environment
        work = Path(made)
        write_images(work / "images", asked.images)
        build(open_images(work / "images"), work / "shards", per_shard=_PER_SHARD)
        create_bucket("bucket")
        storage = open_storage("s3://bucket/set")
        for path in sorted((work / "shards").iterdir()):
            storage.write(path.name, path)
        size = sum(path.stat().st_size for path in (work / "shards").glob("*.tar"))
        print(f"{asked.images} images, {size / asked.images / 1e3:.0f} kB each, {_SIDE} pixels")
        print(f"{'source':<26}{'epoch 1':>10}{'epoch 2':>10}{'requests per 1,000 images':>28}")
        _row("local disk", epochs(str(work / "shards"), work / "local", "256"), "-")
        tars = sorted(path.name for path in (work / "shards").glob("*.tar"))
        with delayed(environment["AWS_ENDPOINT_URL"]) as server:
            os.environ["AWS_ENDPOINT_URL"] = server
            for delay in map(int, asked.delays.split(",")):
                Delay.seconds = delay / 1e3
                streams = {"webdataset": lambda: streamed(server, tars)}
                if asked.ray_data:
                    streams["Ray Data"] = lambda: by_ray_data(server, tars, work / "ray.log")
                for name, stream in streams.items():
                    before = Delay.made
                    rates = stream()
                    requests = f"{1000 * (Delay.made - before) / asked.images:.1f} a host"
                    _row(f"{delay} ms, {name}", rates, requests)
                ours = [("copies", "256", number + 1) for number in range(asked.hosts)]
                if not asked.no_ranges:
                    ours.append(("ranges", "0", 1))
                for name, gib, hosts in ours:
                    before = Delay.made
                    cache = work / f"{name}-{delay}-{hosts}"
                    rates = hosts_together("s3://bucket/set", cache, gib, hosts)
                    requests = f"{1000 * (Delay.made - before) / hosts / asked.images:.1f} a host"
                    plural = "host" if hosts == 1 else "hosts"
                    _row(f"{delay} ms, {name}, {hosts} {plural}", rates, requests)


def _row(name: str, rates: list[float], requests: str) -> None:
    print(f"{name:<26}{rates[0]:>10.0f}{rates[1]:>10.0f}{requests:>28}", flush=True)


if __name__ == "__main__":
    main()
