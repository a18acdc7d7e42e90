"""The measurements of `mimic-ray bench` as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mimic_ray.report.fitted_table import FittedTable

if TYPE_CHECKING:
    from mimic_ray.workflows.bench_options import Effect
    from mimic_ray.workflows.bench_scaling import Point


def options_table(effects: Sequence[Effect]) -> FittedTable:
    """One line for each option, with ratios to the first, which is without options."""
    alone = effects[0]
    lines, records = [], []
    for effect in effects:
        time, memory = effect.step_s / alone.step_s, effect.saved_bytes / alone.saved_bytes
        lines.append(
            [
                effect.option,
                f"{effect.step_s:.3g}",
                f"x{time:.2f}",
                f"{effect.saved_bytes / 2**20:.0f}",
                f"x{memory:.2f}",
                f"{effect.first_step_s:.3g}",
            ]
        )
        records.append(
            {
                "option": effect.option,
                "step_s": effect.step_s,
                "time_ratio": time,
                "saved_bytes": effect.saved_bytes,
                "memory_ratio": memory,
                "first_step_s": effect.first_step_s,
            }
        )
    notes = [note for effect in effects for note in effect.notes]
    header = ["option", "step s", "time", "saved MiB", "memory", "first step s"]
    return FittedTable(header, lines, notes, records=records)


def scaling_table(points: Sequence[Point]) -> FittedTable:
    """One line for each kind of scaling and number of workers."""
    header = ["scaling", "workers", "batch", "images/s", "efficiency"]
    lines = [
        [
            point.scaling,
            str(point.workers),
            str(point.batch),
            f"{point.images_per_s:.4g}",
            f"{point.efficiency:.2f}",
        ]
        for point in points
    ]
    return FittedTable(header, lines, records=[vars(point) for point in points])
