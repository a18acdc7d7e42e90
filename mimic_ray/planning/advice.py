"""What would make a plan fit that does not: only changes whose own plan was made and fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimic_ray.planning.hardware import HARDWARE, Hardware
from mimic_ray.planning.memory import STRATEGIES
from mimic_ray.planning.trace import Trace

OPTIONS = {
    "ddp": {"strategy": "ddp", "teacher": "replicated"},
    "fsdp": {"strategy": "fsdp", "teacher": "replicated"},
    "fsdp+teacher": {"strategy": "fsdp", "teacher": "sharded"},
}
# Beyond this many times the GPUs that were asked for, another card is the better answer.
_MORE_GPUS = 16


def largest_batch(traced: Trace, least: int, room: float, accumulate: int) -> int:
    """Images a device and step, were memory to grow with each of them alike; 0 if none fits.

    `least` is the memory that the traced part of a step takes.
    """
    per_image = (traced.activations + traced.views) / traced.batch
    left = room - (least - per_image * traced.batch)
    return max(0, int(left / per_image)) * accumulate


def advice(
    fits: Callable[..., bool],
    *,
    hardware: Hardware,
    gpus: int,
    batch: int,
    accumulate: int,
    guess: int,
    precision: str,
    checkpointed: bool,
    settled: bool,
) -> list[str]:
    """Sentences' parts, each a change of the command. `fits(**changes)` makes a whole plan anew.

    `guess` is a batch to begin with; `settled` says that a strategy was asked for.
    """
    found = []
    if settled:
        ways = (name for name in STRATEGIES if gpus > 1 and fits(**OPTIONS[name]))
        found += [f"{option(name)}" for name in ways][:1]
    if smaller := next((b for b in _shrinking(min(guess, batch - 1)) if fits(batch=b)), 0):
        found.append(f"--batch {smaller}")
    parts = [n for n in _doubling(2 * accumulate, batch) if fits(accumulate=n)][:1]
    found += [f"--accumulate {n} with this batch" for n in parts]
    if not checkpointed and fits(checkpoint_activations=True):
        found.append("--checkpoint-activations, for one more forward")
    if precision == "fp32" and hardware.bf16 > hardware.fp32 and fits(precision="bf16"):
        found.append("--precision bf16")
    return found or list(_larger(fits, hardware, gpus, batch, accumulate))


def option(strategy: str) -> str:
    """As it is written in the command."""
    return {
        "ddp": "--strategy ddp",
        "fsdp": "--strategy fsdp",
        "fsdp+teacher": "--strategy fsdp --teacher sharded",
    }[strategy]


def _larger(
    fits: Callable[..., bool], hardware: Hardware, gpus: int, batch: int, accumulate: int
) -> Iterator[str]:
    """Several changes at once, or more to pay for."""
    for parts in _doubling(accumulate, batch):
        if fits(accumulate=parts, checkpoint_activations=True):
            yield f"--checkpoint-activations with --accumulate {parts}"
            break
    for more in _doubling(2 * gpus, _MORE_GPUS * gpus):
        if fits(gpus=more, **OPTIONS["fsdp+teacher"]):
            yield f"--gpus {more} {option('fsdp+teacher')}"
            break
    cards = [card for card in HARDWARE.values() if card.memory > hardware.memory]
    for card in sorted(cards, key=lambda card: card.memory):
        if fits(gpu=card.name, precision="auto"):
            yield f"--gpu {card.name}"
            break


def _shrinking(batch: int) -> Iterator[int]:
    """From a guess that is nearly right down to two images."""
    while batch >= 2:
        yield batch
        batch = batch * 9 // 10


def _doubling(start: int, end: int) -> Iterator[int]:
    while start <= end:
        yield start
        start *= 2
