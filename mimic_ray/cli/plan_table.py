"""A plan as text and a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mimic_ray.base.text import amount, count, duration
from mimic_ray.planning.hardware import GIB
from mimic_ray.report.fitted_table import FittedTable

if TYPE_CHECKING:
    from mimic_ray.planning.advice import Changes
    from mimic_ray.planning.throughput import Loader
    from mimic_ray.workflows.plan import Plan

_MEMORY_ROWS = (
    "parameters",
    "gradients",
    "optimiser",
    "teacher",
    "gathered",
    "activations",
    "views",
    "workspace",
)


def summary(plan: Plan) -> Iterator[str]:
    """The run and the work of one step."""
    traced, each = plan.traced, plan.traced.batch
    yield (
        f"{plan.encoder}: {traced.student_parameters / 1e6:.1f} M parameters. GFLOP per image: "
        f"forward {traced.forward_flops / each / 1e9:.3g}, teacher "
        f"{traced.teacher_flops / each / 1e9:.3g}, student forward and backward "
        f"{traced.student_flops / each / 1e9:.3g}; total {traced.flops / each / 1e9:.3g}."
    )
    parts = f" in {plan.accumulate} parts" if plan.accumulate > 1 else ""
    yield (
        f"{plan.gpus} x {plan.hardware.name} in {plan.precision}, {plan.batch} images per GPU and "
        f"step{parts}: global batch {plan.batch * plan.gpus:,}, {count(plan.steps, 'step')} for "
        f"{count(plan.epochs, 'epoch')} of {count(plan.images, 'image')}."
    )


def strategy_table(plan: Plan) -> FittedTable:
    """One column per strategy: memory, the limit of each resource, time.

    The records have the same lines in bytes, images/s and seconds.
    """
    costs = plan.strategies
    names = [cost.memory.strategy for cost in costs]
    lines: list[list[str]] = []
    records: list[dict[str, Any]] = []
    sections = []

    def add(name: str, unit: str, values: Sequence[Any], shown: Iterable[str]) -> None:
        lines.append([name, *shown])
        row = {"per GPU": name, "unit": unit}
        records.append({**row, **dict(zip(names, values, strict=True))})

    for part in _MEMORY_ROWS:
        sizes = [getattr(cost.memory, part) for cost in costs]
        add(part, "bytes", sizes, map(gib, sizes))
    sums = (gib(cost.memory.total) + ("" if cost.fits else " no") for cost in costs)
    limit = f"sum, of {plan.hardware.memory / GIB:.0f} GiB"
    add(limit, "bytes", [cost.memory.total for cost in costs], sums)
    sections.append(len(lines) - 1)
    for name in sorted({bound.by for cost in costs for bound in cost.bounds}):
        rates = [{b.by: b.images_s for b in cost.bounds}[name] for cost in costs]
        add(f"images/s by {name}", "images/s", rates, (f"{rate:,.0f}" for rate in rates))
    slowest = [cost.bottleneck for cost in costs]
    add("bottleneck", "", slowest, slowest)
    sections.append(len(lines) - 1)
    rates = [cost.images_s for cost in costs]
    add("all: images/s", "images/s", rates, (f"{rate:,.0f}" for rate in rates))
    sections.append(len(lines) - 1)
    for name in [part.name for part in costs[0].parts]:
        times = [{part.name: part.seconds for part in cost.parts}[name] for cost in costs]
        add(f"time: {name}", "s", times, map(duration, times))
    times = [3600 * cost.hours for cost in costs]
    add("all: time", "s", times, map(duration, times))
    marked = [
        name + (" *" if c is plan.chosen else "") for name, c in zip(names, costs, strict=True)
    ]
    return FittedTable(["Per GPU", *marked], lines, records=records, sections=sections)


def gib(size: float) -> str:
    """`4.90 GiB`, or in MiB below 0.1 GiB."""
    if size == 0:
        return "-"
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / (1 << 20):.1f} MiB"


def loading(plan: Plan, need: Loader) -> str:
    """The cores and the rate that decoding and reading need."""
    cores = f"{amount(need.decode_cores)} cores"
    later, read = amount(need.cached_cores), f"{amount(need.read_gb)} GB in total"
    cached = f"{amount(need.cache_gb)} GB of decoded images"
    if plan.source == "object":
        return (
            f"Loading, all nodes: {cores} in the first epoch, then {later}. Before the first step "
            f"each node copies the set from object storage (which provides "
            f"{plan.assumptions['read_mb_s_node']:,.0f} MB/s): {read}, and {cached}."
        )
    return (
        f"Loading, all nodes: {cores} and {need.read_mb_s:,.0f} MB/s from disk (which provides "
        f"{need.limit_mb_s:,.0f}) in the first epoch, then {later} cores. Each "
        f"node reads the set once: {read}, and {cached}."
    )


def as_options(changes: Changes) -> str:
    """Changes of a plan as command line options."""
    words = []
    for name, value in changes.items():
        if name == "settings":
            words += [f"--set {setting}" for setting in value]
        else:
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


def closing(plan: Plan) -> Iterator[str]:
    """The chosen strategy and its requirements, or the changes that would make the run fit."""
    if plan.chosen is None or plan.loader is None:
        if plan.advice:
            changes = "; or ".join(map(as_options, plan.advice))
            yield f"The run does not fit. It would fit with: {changes}."
        else:
            yield ("The run does not fit, not even with accumulation, more GPUs or another card.")
        return
    assumed = plan.assumptions
    yield (
        f"* Chosen: {plan.chosen.memory.strategy}, limited by {plan.chosen.bottleneck}. Assumed: "
        f"{assumed['utilisation']:.0%} of the peak (published training runs on H100 reach "
        f"{assumed['published_low']:.0%} to {assumed['published_high']:.0%}), "
        f"{assumed['bandwidth_share']:.0%} of the memory bandwidth, "
        f"{assumed['link_share']:.0%} of the link, "
        f"{assumed['launch_s'] * 1e6:.0f} us per kernel launch, "
        f"{assumed['usable_memory_share']:.0%} of the memory usable. This is an upper bound: it "
        "assumes that all resources work at the same time. Start-up and commits are those "
        "measured on a CPU."
    )
    yield loading(plan, plan.loader)
    if plan.cached_views:
        yield f"The teacher runs once on {plan.cached_views:,} fixed views, not in every step."
    money = ". Set --price-per-hour to see the cost"
    if plan.cost is not None:
        money = f", cost {plan.cost:,.2f} at {plan.price_per_hour:g} per GPU-hour"
    hours = amount(plan.gpu_hours or 0)
    yield f"Time {duration(3600 * plan.chosen.hours)}, {hours} GPU-hours{money}."
