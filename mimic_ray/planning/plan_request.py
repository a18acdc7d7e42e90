"""The arguments of a plan, validated before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain
from mimic_ray.planning.read_rates import SOURCES
from mimic_ray.planning.throughput import JPEG_BYTES, UTILISATION

if TYPE_CHECKING:
    from mimic_ray.method.recipe import Recipe


@dataclass(frozen=True)
class PlanRequest:
    """`batch` is per GPU and step; 0 selects the largest power of two up to 128 that fits and that
    the images fill. `read_mb_s` is what one node reads from the source; 0 uses the source's rate.

    Raises UsageError for a value out of range.
    """

    encoder: str
    gpus: int = 1
    gpu: str = "h100"
    images: int = 50_000
    epochs: int = 100
    batch: int = 0
    strategy: str = "auto"
    teacher_placement: str = "auto"
    recipe: str | Path | Recipe = "auto"
    settings: Iterable[str] = ()
    source: str = "local"
    read_mb_s: float = 0
    image_bytes: int = JPEG_BYTES
    utilisation: float = UTILISATION
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        for name in ("gpus", "images", "epochs", "image_bytes"):
            self._check(name, getattr(self, name) >= 1, "must be 1 or more")
        self._check("batch", self.batch >= 0, "must be 1 or more, or 0 to choose it")
        self._check("utilisation", 0 < self.utilisation <= 1, "must be above 0 and at most 1")
        self._check("read_mb_s", 0 <= self.read_mb_s < float("inf"), "must be 0 or more")
        price = self.price_per_hour or 0
        self._check("price_per_hour", 0 <= price < float("inf"), "must be 0 or more")
        self._check_choice("strategy", ("auto", "ddp", "fsdp"))
        self._check_choice("teacher_placement", ("auto", "replicated", "sharded"))
        self._check_choice("source", tuple(SOURCES))
        if self.strategy == "ddp" and self.teacher_placement == "sharded":
            raise UsageError(
                f"{option('teacher_placement', 'sharded')} needs {option('strategy', 'fsdp')}: "
                "with ddp each worker has whole networks."
            )

    def allows(self, strategy: str) -> bool:
        """Whether one of `memory.STRATEGIES` may be chosen."""
        if self.gpus == 1:
            return True
        sharded = strategy == "fsdp+teacher"
        return (self.strategy == "auto" or strategy.startswith(self.strategy)) and (
            self.teacher_placement in ("auto", "sharded" if sharded else "replicated")
        )

    def _check(self, name: str, valid: bool, rule: str) -> None:
        if not valid:
            raise UsageError(f"{option(name, getattr(self, name))} {rule}.")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        if (value := getattr(self, name)) not in choices:
            raise UsageError(f"{option(name, plain(value))} must be {' or '.join(choices)}.")
