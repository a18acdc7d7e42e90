"""One strategy on one cluster: memory, what holds it up, how long it takes."""

from __future__ import annotations

from dataclasses import dataclass

from mimic_ray.planning import calibrate
from mimic_ray.planning.hardware import Hardware
from mimic_ray.planning.memory import Memory, memory
from mimic_ray.planning.throughput import Bound, bounds
from mimic_ray.planning.trace import Trace

# Left to the driver, the allocator's rounding and what kernels take for themselves.
USABLE = 0.92


@dataclass(frozen=True)
class Cluster:
    """`rates` where the device was measured: they say more than its peaks."""

    hardware: Hardware
    devices: int
    precision: str
    utilisation: float
    rates: calibrate.Rates | None = None


@dataclass(frozen=True)
class Length:
    """Images in all steps and in the first epoch; those that the teacher is asked once about."""

    images: int
    first_epoch: int
    reading_images_s: float
    recorded: int = 0


@dataclass(frozen=True)
class Way:
    """One strategy."""

    memory: Memory
    fits: bool
    bounds: list[Bound]  # the slowest first
    images_s: float  # of all devices
    hours: float

    @property
    def bottleneck(self) -> str:
        return self.bounds[0].by


def way(traced: Trace, strategy: str, cluster: Cluster, accumulate: int, length: Length) -> Way:
    """`traced` is one of `accumulate` parts of a step of one device."""
    needed = memory(traced, strategy, cluster.devices)
    hardware, devices = cluster.hardware, cluster.devices
    limits = bounds(
        traced, hardware, cluster.precision, strategy, devices, accumulate, cluster.utilisation
    )
    if cluster.rates:
        rest = [bound for bound in limits if bound.by == "collectives"]
        step_s = calibrate.predict(traced, cluster.rates)
        reached = Bound("this CPU, measured", traced.batch / step_s)
        limits = sorted([reached, *rest], key=lambda bound: bound.images_s)
    rate = limits[0].images_s * devices
    # What is read while the first epoch trains may hold it up; later epochs read nothing.
    first = length.first_epoch / min(rate, length.reading_images_s)
    later = (length.images - length.first_epoch) / rate
    # A forward of the teacher costs its share of the work of a step.
    share = traced.forward_flops / max(traced.flops, 1)
    return Way(
        memory=needed,
        fits=needed.total <= USABLE * hardware.memory,
        bounds=limits,
        images_s=rate,
        hours=(first + later + length.recorded * share / rate) / 3600,
    )
