"""What a plan is asked for, checked word by word before anything is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimic_ray.base.errors import UsageError
from mimic_ray.planning.read_rates import SOURCES
from mimic_ray.planning.throughput import JPEG_BYTES, UTILISATION


@dataclass(frozen=True)
class Asked:
    """`batch` 0 is the largest power of two up to 128 that fits and that images fill; `read_mb_s`
    is what one node reads of the source, 0 where that is not known.

    Raises UsageError for what is no number of anything or no known word.
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
    recipe: str = "default"
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
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} {getattr(self, name)}: a plan needs 1 or more.")
        one_of("--strategy", self.strategy, ("auto", "ddp", "fsdp"))
        one_of("--teacher", self.teacher, ("auto", "replicated", "sharded"))
        one_of("--precision", self.precision, ("auto", "bf16", "fp32"))
        one_of("--source", self.source, tuple(SOURCES))
        if not 0 < self.utilisation <= 1:
            raise UsageError(
                f"--utilisation {self.utilisation} is a share of the peak: between 0 and 1."
            )
        if self.price is not None and not 0 <= self.price < float("inf"):
            raise UsageError(f"--price-per-hour {self.price} is no price of one GPU for an hour.")
        if not 0 <= self.read_mb_s < float("inf"):
            raise UsageError(f"--read-mb-s {self.read_mb_s}: MB/s of one node; 0 goes by --source.")
        if self.batch < 0:
            raise UsageError(
                f"--batch {self.batch}: images of one device and step, 1 or more; 0 chooses."
            )
        if self.strategy == "ddp" and self.teacher == "sharded":
            raise UsageError("--teacher sharded needs --strategy fsdp: ddp keeps whole networks.")

    def wants(self, strategy: str) -> bool:
        """Whether one of `memory.STRATEGIES` is among what was asked for."""
        if self.gpus == 1:
            return True
        return (self.strategy == "auto" or strategy.startswith(self.strategy)) and (
            self.teacher == "auto" or (strategy == "fsdp+teacher") == (self.teacher == "sharded")
        )


def one_of(option: str, given: str, known: tuple[str, ...]) -> None:
    """Raises UsageError."""
    if given not in known:
        raise UsageError(f'{option} is {" or ".join(known)}, not "{given}".')
