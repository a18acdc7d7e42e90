"""How many images a second one device can take, by what would hold it up; and what it needs fed."""

from __future__ import annotations

from dataclasses import dataclass

from mimic_ray.planning.hardware import Hardware
from mimic_ray.planning.trace import Trace

# Of the peak that a training step reaches in matrix products; 400 of 989 TFLOP/s on an H100.
UTILISATION = 0.4
# Of the published bandwidth that element-wise kernels reach.
BANDWIDTH_SHARE = 0.8
# Host seconds an operation: 5 us in torch and autograd, as `calibrate` finds on a Zen 4 core, and
# as much again for the driver to start a kernel, which was not measured.
START_S = 10e-6
# Of a link that collectives reach.
LINK_SHARE = 0.7
# Images a second of one core (Zen 4, one thread), as measured for this project.
DECODE_JPEG = 2770.0  # 256-pixel JPEG of 31.4 kB
GATHER_DECODED = 50_000.0  # out of the decoded cache
JPEG_BYTES = 31_400


@dataclass(frozen=True)
class Bound:
    """Images a second of one device, were nothing else in the way."""

    by: str
    images_s: float


def bounds(
    traced: Trace,
    hardware: Hardware,
    precision: str,
    strategy: str,
    devices: int,
    accumulate: int = 1,
    utilisation: float = UTILISATION,
) -> list[Bound]:
    """The slowest first. `traced` is one of `accumulate` parts of a step."""
    batch = traced.batch
    found = [
        Bound("compute", batch * utilisation * hardware.peak(precision) / traced.flops),
        Bound("memory bandwidth", batch * BANDWIDTH_SHARE * hardware.bandwidth / traced.traffic),
        Bound("kernel starts", batch / (START_S * sum(work.operations for work in traced.work))),
    ]
    if devices > 1:
        sent = sent_bytes(traced, strategy, devices, accumulate)
        link = hardware.link if devices <= hardware.per_node else hardware.network
        found.append(Bound("collectives", batch * accumulate * LINK_SHARE * link / sent))
    return sorted(found, key=lambda bound: bound.images_s)


def sent_bytes(traced: Trace, strategy: str, devices: int, accumulate: int = 1) -> float:
    """What one device sends a step, in fp32 and in a ring: an all-reduce is twice a gather.

    FSDP gathers parameters forward and backward and shares gradients out, in each part of a step.
    """
    ring = (devices - 1) / devices
    if strategy == "ddp":
        return 2 * ring * traced.gradients
    gathers = 3 * traced.gradients
    if strategy == "fsdp+teacher":
        gathers += traced.teacher_bytes
    return accumulate * ring * gathers


@dataclass(frozen=True)
class Loader:
    """What all devices together need of the hosts at a rate of images a second."""

    decode_cores: float  # first epoch, or every epoch where nothing is kept decoded
    cached_cores: float  # later epochs, out of the decoded cache
    read_mb_s: float  # JPEG bytes, at the rate of training: what the first epoch wants
    limit_mb_s: float  # what the source gives
    read_gb: float  # in all: each node reads the set once
    cache_gb: float  # decoded, uint8, on all nodes


def loader(
    images_s: float,
    images: int,
    side: int,
    image_bytes: int,
    reading_images_s: float = float("inf"),
    nodes: int = 1,
) -> Loader:
    """`side`: pixels at which images are kept decoded; decoding time goes with the bytes."""
    first = min(images_s, reading_images_s)
    rate = DECODE_JPEG * JPEG_BYTES / image_bytes
    return Loader(
        decode_cores=first / rate,
        cached_cores=images_s / GATHER_DECODED,
        read_mb_s=images_s * image_bytes / 1e6,
        limit_mb_s=reading_images_s * image_bytes / 1e6,
        read_gb=nodes * images * image_bytes / 1e9,
        cache_gb=nodes * images * 3 * side * side / 1e9,
    )
