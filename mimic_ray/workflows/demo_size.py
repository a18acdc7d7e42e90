"""The sizes of the demo, chosen by a timed probe so that it ends in three minutes here."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mimic_ray.base import devices
from mimic_ray.base.machine_limits import usable_cpus
from mimic_ray.base.text import duration
from mimic_ray.execution.step_probe import Pace, probe
from mimic_ray.method.recipe import Recipe
from mimic_ray.scanning.openings import SCAN_FORWARDS

# Of the three minutes; the rest is for imports, decoding, heads and plots.
_BUDGET_S = 150.0
# A forward and a backward pass, in forward passes.
_TRAINED = 3
# Images that pass through an encoder apart from steps: features of the attack, evaluation of three.
_FORWARDS = 2 * 2_000 + 3 * (3_000 + 2 * 1_250)


@dataclass(frozen=True)
class DemoSize:
    """Steps and batch of the attack, steps of the purification, and the CPU threads of both."""

    attack_steps: int
    attack_batch: int
    purify_steps: int
    threads: int = 1

    def seconds(self, pace: Pace) -> float:
        """The time of the whole demo without start-up."""
        attacked = _TRAINED * self.attack_steps * 2 * self.attack_batch
        forwards = attacked + _FORWARDS + 2 * SCAN_FORWARDS["full"]
        return forwards * pace.forward_s + 64 * self.purify_steps * pace.step_s

    def sentence(self, pace: Pace) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"Sizes for this machine: {self.attack_steps} steps of attack, {self.purify_steps} of "
            f"purification, {threads}; about {duration(self.seconds(pace))}."
        )


# From large to small. Each kept the promises of the demo: docs/measurements/cost_cpu_2026-11.md.
SIZES = (DemoSize(200, 64, 300), DemoSize(100, 64, 200))


def demo_size(encoder: str) -> tuple[DemoSize, Pace]:
    """The largest size that fits, else the smallest, with the number of threads that is faster.

    More threads gain little on a small network, and slow it down on a busy machine.
    """
    before = torch.get_num_threads()
    recipe, paces = Recipe(), dict[int, Pace]()
    try:
        for threads in sorted({1, min(usable_cpus(), 4)}):
            compute = devices.choose("auto", recipe.training.precision, threads)
            paces[threads] = probe(encoder, recipe, compute)
    finally:
        torch.set_num_threads(before)
    threads = min(paces, key=lambda number: paces[number].step_s)
    return chosen_size(paces[threads], threads), paces[threads]


def chosen_size(pace: Pace, threads: int = 1) -> DemoSize:
    """The largest size that fits the budget at this pace, else the smallest."""
    fitting = (size for size in SIZES if size.seconds(pace) <= _BUDGET_S)
    size = next(fitting, SIZES[-1])
    return DemoSize(size.attack_steps, size.attack_batch, size.purify_steps, threads)
