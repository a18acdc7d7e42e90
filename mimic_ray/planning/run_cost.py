"""What a command will cost on this machine, in a sentence, and whether to start it unasked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import count, duration

_DAY_S = 86_400.0
_GB = 1e9
_BUSY = 1.5  # processes for each core: steps are timed at a fraction of their speed


@dataclass(frozen=True)
class CostPart:
    """A part of the work: the images that pass through a network, and the time that they take."""

    name: str
    images: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """The estimated cost of a command on this machine, passed to its `on_cost`.

    Attributes:
        parts: What is done one after another.
        memory_bytes: Largest memory of all processes.
        machine_bytes: Memory of this machine, or of its GPU; 0 if unknown.
        cores: CPU cores that the work uses; 0 on a GPU.
        probe_s: Seconds of the timed steps that the estimate rests on.
        at_most: Whether early stopping may end the work sooner.
        load: Mean number of processes that ran or waited for a core in the last minute.
        machine_cores: Cores of the whole machine.

    Example:
        def on_cost(cost):
            print(cost.seconds, cost.sentence())
    """

    parts: tuple[CostPart, ...]
    memory_bytes: float
    machine_bytes: float
    cores: int
    probe_s: float
    at_most: bool = False
    load: float = 0.0
    machine_cores: int = 0

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts)

    @property
    def images(self) -> int:
        return sum(part.images for part in self.parts)

    @property
    def too_large(self) -> bool:
        """Whether it takes more than a day, or more memory than there is."""
        return self.seconds > _DAY_S or 0 < self.machine_bytes < self.memory_bytes

    def sentence(self) -> str:
        """`Cost here: 38,400 images through the networks, about 6.3 min, 1.2 GB of memory. ...`"""
        parts = ""
        if len(self.parts) > 1:
            named = (f"{part.name} {duration(part.seconds)}" for part in self.parts)
            parts = f" ({', '.join(named)})"
        return (
            f"Cost here: {count(self.images, 'image')} through the networks, "
            f"{'at most ' if self.at_most else ''}about {duration(self.seconds)}{parts}, "
            f"{self.memory_bytes / _GB:.1f} GB of memory. Estimated from steps timed for "
            f"{duration(self.probe_s)}.{self._other_work()}"
        )

    def _other_work(self) -> str:
        if not self.cores or self.load <= _BUSY * self.machine_cores:
            return ""
        return (
            f" This machine is busy ({self.load:.0f} processes on "
            f"{count(self.machine_cores, 'core')}): when it is quiet, this takes less time. On "
            "shared cores one thread is often faster than several."
        )

    def faster_machine(self, within_s: float) -> str:
        """Which machine would do it in that time; "" if this one does."""
        times = self.seconds / within_s
        if times <= 1:
            return ""
        cores = f"{times * self.cores:,.0f} such CPU cores or " if self.cores else ""
        return (
            f"To end within {duration(within_s)} it needs {cores}a GPU that is {times:,.0f} times "
            "as fast as this machine."
        )

    def to_json(self) -> dict[str, Any]:
        """For the record of a run: rounded figures."""
        return {
            "images": self.images,
            "seconds": round(self.seconds, 1),
            "memory_bytes": round(self.memory_bytes),
        }


CostCallback = Callable[[Cost], object]


def ignore_cost(cost: Cost) -> None:
    """The default `on_cost`: displays nothing."""


def report_cost(
    cost: Cost, quick: Callable[[], Cost] | None, on_cost: CostCallback, yes: bool
) -> None:
    """Passes the cost to `on_cost`, and raises UsageError if it is too large without `yes`.

    `quick` returns the cost of the same command with `effort="quick"`, None where there is no such
    thing.
    """
    on_cost(cost)
    if yes or not cost.too_large:
        return
    reasons = ["That is more than a day."] if cost.seconds > _DAY_S else []
    if 0 < cost.machine_bytes < cost.memory_bytes:
        reasons.append(f"This machine has {cost.machine_bytes / _GB:.1f} GB.")
    ways = [f"Set {option('yes', True)} to start all the same"]
    quick_s = quick().seconds if quick else cost.seconds
    if quick_s < 0.99 * cost.seconds:
        ways.append(f"{option('effort', 'quick')}, which takes about {duration(quick_s)}")
    words = [cost.sentence(), *reasons, f"{', or '.join(ways)}.", cost.faster_machine(_DAY_S)]
    raise UsageError(" ".join(filter(None, words)))
