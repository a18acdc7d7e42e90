"""A speed-up, measured in one process with both sides taking turns.

Absolute seconds depend on the machine and its load; the ratio within one run hardly does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median

import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Ratio:
    """CPU seconds of a baseline and of mimic-ray for the same work."""

    name: str
    baseline_s: float
    ours_s: float
    target: float | None  # the least ratio that the project promises, if it promises one
    detail: str

    @property
    def ratio(self) -> float:
        return self.baseline_s / self.ours_s


def measure(
    sides: Mapping[str, Callable[[], object]], *, rounds: int = 3, seconds: float = 0.0
) -> dict[str, float]:
    """Median CPU seconds of one call of each side.

    The sides take turns for at least `rounds` rounds and `seconds`, after one warm-up round.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    end = time.monotonic() + seconds
    done = -1  # the first round is a warm-up
    while done < rounds or time.monotonic() < end:
        for name, work in sides.items():
            start = time.process_time()
            work()
            taken[name].append(time.process_time() - start)
        done += 1
    return {name: median(times[1:]) for name, times in taken.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits torch to one thread inside the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line of one benchmark: `--json`, to which it adds its own options."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def show(ratios: Sequence[Ratio], *, as_json: bool) -> None:
    """Prints the ratios as a table, or as a JSON list."""
    if as_json:
        print(json.dumps([asdict(each) | {"ratio": each.ratio} for each in ratios], indent=2))
        return
    table = Table("what", "baseline s", "ours s", "ratio", "target", box=None, pad_edge=False)
    for each in ratios:
        target = f">= {each.target:g}" if each.target else ""
        seconds = f"{each.baseline_s:.4g}", f"{each.ours_s:.4g}"
        table.add_row(each.name, *seconds, f"x{each.ratio:.1f}", target)
    console = Console(soft_wrap=True)
    console.print(table)
    for detail in dict.fromkeys(each.detail for each in ratios):
        console.print(f"  {detail}", highlight=False)
