"""Upper bounds on images per second of one device, and the required loading rates."""

from __future__ import annotations

from dataclasses import dataclass

from mimic_ray.planning.hardware import Hardware
from mimic_ray.planning.trace import Trace

# Share of the peak FLOP/s that training reaches on H100s, from published images/s: ViT-B 22.6 %
# (nvSubquadratic, 8 GPUs, compiled), ViT-L about 25 % (DINOv3, 32 GPUs), ViT-g 28.9 % (NeMo).
UTILISATION = 0.25
PUBLISHED = (0.22, 0.29)
# Share of the published bandwidth that element-wise kernels reach.
BANDWIDTH_SHARE = 0.8
# Host seconds per operation: 5 us in torch and autograd, measured on a Zen 4 core by
# benchmarks/plan_accuracy.py, plus 5 us for the driver's launch, which was not measured.
LAUNCH_S = 10e-6
# Share of a link's bandwidth that collectives reach.
LINK_SHARE = 0.7
# Images per second of one core (Zen 4, one thread), measured for this project.
DECODE_JPEG = 2770.0  # 256-pixel JPEG of 31.4 kB
GATHER_DECODED = 50_000.0  # from the decoded cache
JPEG_BYTES = 31_400
# CPU cores beside a GPU: an assumption; clouds give 4 to 12.
CORES = 8


@dataclass(frozen=True)
class Bound:
    """Images per second of one device if only this resource limited it."""

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
    """All bounds, slowest first. `traced` is one of `accumulate` parts of a step."""
    batch = traced.batch
    found = [
        Bound("compute", batch * utilisation * hardware.peak(precision) / traced.flops),
        Bound("memory bandwidth", batch * BANDWIDTH_SHARE * hardware.bandwidth / traced.traffic),
        Bound("kernel launches", batch / (LAUNCH_S * sum(work.operations for work in traced.work))),
    ]
    if devices > 1:
        sent = sent_bytes(traced, strategy, devices, accumulate)
        link = hardware.link if devices <= hardware.per_node else hardware.network
        found.append(Bound("collectives", batch * accumulate * LINK_SHARE * link / sent))
    return sorted(found, key=lambda bound: bound.images_s)


def sent_bytes(traced: Trace, strategy: str, devices: int, accumulate: int = 1) -> float:
    """Bytes that one device sends per step, in fp32, in a ring, where an all-reduce is two gathers.

    FSDP gathers parameters in forward and backward and reduce-scatters gradients, in each part of a
    step.
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
    """The loading that all devices need from the nodes at a given number of images per second."""

    decode_cores: float  # first epoch, or every epoch without the decoded cache
    cached_cores: float  # later epochs, from the decoded cache
    read_mb_s: float  # rate of JPEG data to train the first epoch at full speed
    limit_mb_s: float  # rate that the source provides
    read_gb: float  # total; each node reads the set once
    cache_gb: float  # decoded uint8 images on all nodes


def decode_images_s(image_bytes: int) -> float:
    """Images that one core decodes in a second."""
    return DECODE_JPEG * JPEG_BYTES / image_bytes


def loader(
    images_s: float,
    images: int,
    side: int,
    image_bytes: int,
    reading_images_s: float = float("inf"),
    nodes: int = 1,
) -> Loader:
    """`side`: pixels of the decoded images; decoding time is proportional to `image_bytes`."""
    first = min(images_s, reading_images_s)
    return Loader(
        decode_cores=first / decode_images_s(image_bytes),
        cached_cores=images_s / GATHER_DECODED,
        read_mb_s=images_s * image_bytes / 1e6,
        limit_mb_s=reading_images_s * image_bytes / 1e6,
        read_gb=nodes * images * image_bytes / 1e9,
        cache_gb=nodes * images * 3 * side * side / 1e9,
    )
