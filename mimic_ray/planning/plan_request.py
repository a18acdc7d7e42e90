"""The settings of a plan, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.base.errors import UsageError, option
from mimic_ray.planning.read_rates import SOURCES
from mimic_ray.planning.throughput import JPEG_BYTES, UTILISATION

if TYPE_CHECKING:
    from mimic_ray.method.recipe import Recipe


@dataclass(frozen=True)
class PlanRequest:
    """`batch` 0 is the largest power of two up to 128 that fits and that images fill; `read_mb_s`
    is what one node reads from the source, 0 where that is not known.

    Raises UsageError for a number out of range and an unknown word.
    """

    encoder: str
    gpus: int
    gpu: str
    images: int
    epochs: int
    batch: int = 0
    strategy: str = "auto"
    teacher: str = "auto"
    precision: str = "auto"
    accumulate: int = 1
    checkpoint_activations: bool = False
    recipe: str | Path | Recipe = "default"
    settings: Iterable[str] = ()
    source: str = "local"
    read_mb_s: float = 0
    image_bytes: int = JPEG_BYTES
    utilisation: float = UTILISATION
    price: float | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("gpus", "images", "epochs", "accumulate", "image_bytes"):
            if getattr(self, name) < 1:
                raise UsageError(f"{option(name, getattr(self, name))} must be 1 or more.")
        one_of("strategy", self.strategy, ("auto", "ddp", "fsdp"))
        one_of("teacher", self.teacher, ("auto", "replicated", "sharded"))
        one_of("precision", self.precision, ("auto", "bf16", "fp32"))
        one_of("source", self.source, tuple(SOURCES))
        if not 0 < self.utilisation <= 1:
            raise UsageError(f"{option('utilisation', self.utilisation)} must be between 0 and 1.")
        if self.price is not None and not 0 <= self.price < float("inf"):
            raise UsageError(f"{option('price_per_hour', self.price)} must be 0 or more.")
        if not 0 <= self.read_mb_s < float("inf"):
            raise UsageError(f"{option('read_mb_s', self.read_mb_s)} must be 0 or more.")
        if self.batch < 0:
            raise UsageError(f"{option('batch', self.batch)} must be 0 (automatic) or more.")
        if self.strategy == "ddp" and self.teacher == "sharded":
            raise UsageError(f"{option('teacher', 'sharded')} needs {option('strategy', 'fsdp')}.")

    def includes(self, strategy: str) -> bool:
        """Whether one of `memory.STRATEGIES` is among the requested ones."""
        if self.gpus == 1:
            return True
        return (self.strategy == "auto" or strategy.startswith(self.strategy)) and (
            self.teacher == "auto" or (strategy == "fsdp+teacher") == (self.teacher == "sharded")
        )


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises UsageError."""
    if value not in known:
        raise UsageError(f"{option(name, value)} must be {' or '.join(known)}.")
