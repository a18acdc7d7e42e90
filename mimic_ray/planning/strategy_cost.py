"""One strategy on one cluster: its memory, its bottleneck and the duration of the run."""

from __future__ import annotations

from dataclasses import dataclass

from mimic_ray.planning.hardware import Hardware
from mimic_ray.planning.memory import Memory, memory
from mimic_ray.planning.run_time import TimePart, Workload, time_parts
from mimic_ray.planning.throughput import Bound, bounds
from mimic_ray.planning.trace import Trace

# The rest is for the driver, rounding in the allocator and workspaces of kernels.
USABLE_MEMORY = 0.92


@dataclass(frozen=True)
class Cluster:
    """`devices` of one kind."""

    hardware: Hardware
    devices: int
    precision: str
    utilisation: float

    @property
    def usable_memory(self) -> float:
        """Bytes per device."""
        return USABLE_MEMORY * self.hardware.memory


@dataclass(frozen=True)
class StrategyCost:
    """The memory and speed of one strategy."""

    memory: Memory
    fits: bool
    bounds: list[Bound]  # the slowest first
    images_s: float  # of all devices
    parts: list[TimePart]  # one after another
    hours: float

    @property
    def bottleneck(self) -> str:
        return self.bounds[0].by


def strategy_cost(
    traced: Trace, strategy: str, cluster: Cluster, accumulate: int, workload: Workload
) -> StrategyCost:
    """`traced` is one of `accumulate` parts of a step on one device."""
    needed = memory(traced, strategy, cluster.devices)
    limits = bounds(
        traced,
        cluster.hardware,
        cluster.precision,
        strategy,
        cluster.devices,
        accumulate,
        cluster.utilisation,
    )
    rate = limits[0].images_s * cluster.devices
    # The forward pass of the teacher takes its share of the time of a step.
    share = traced.forward_flops / max(traced.flops, 1)
    parts = time_parts(workload, rate, limits[0].images_s / share, with_ray=cluster.devices > 1)
    return StrategyCost(
        memory=needed,
        fits=needed.total <= cluster.usable_memory,
        bounds=limits,
        images_s=rate,
        parts=parts,
        hours=sum(part.seconds for part in parts) / 3600,
    )
