"""A plan as text and a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from mimic_ray.base.text import count, duration
from mimic_ray.planning.hardware import GIB

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


def strategy_table(plan: Plan) -> Table:
    """One column per strategy: memory, the limit of each resource, time."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("Per GPU")
    costs = plan.strategies
    for cost in costs:
        mark = " *" if cost is plan.chosen else ""
        table.add_column(cost.memory.strategy + mark, justify="right", no_wrap=True)
    for part in _MEMORY_ROWS:
        table.add_row(part, *(gib(getattr(cost.memory, part)) for cost in costs))
    table.add_row(
        f"sum, of {plan.hardware.memory / GIB:.0f} GiB",
        *(gib(cost.memory.total) + ("" if cost.fits else " no") for cost in costs),
        end_section=True,
    )
    for name in sorted({bound.by for cost in costs for bound in cost.bounds}):
        rates = ({b.by: b.images_s for b in cost.bounds}[name] for cost in costs)
        table.add_row(f"images/s by {name}", *(f"{rate:,.0f}" for rate in rates))
    table.add_row("bottleneck", *(cost.bottleneck for cost in costs), end_section=True)
    table.add_row("all: images/s", *(f"{cost.images_s:,.0f}" for cost in costs), end_section=True)
    for name in [part.name for part in costs[0].parts]:
        times = ({part.name: part.seconds for part in cost.parts}[name] for cost in costs)
        table.add_row(f"time: {name}", *map(duration, times))
    table.add_row("all: time", *(duration(3600 * cost.hours) for cost in costs))
    return table


def gib(size: float) -> str:
    """`4.90 GiB`, or in MiB below 0.1 GiB."""
    if size == 0:
        return "-"
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / (1 << 20):.1f} MiB"


def loading(plan: Plan, need: Loader) -> str:
    """The cores and the rate that decoding and reading need."""
    cores = f"{need.decode_cores:.1f} cores"
    cached = f"{need.cache_gb:.1f} GB of decoded images"
    if plan.source == "object":
        return (
            f"Loading, all nodes: {cores} in the first epoch, then {need.cached_cores:.2f}. Before "
            f"the first step each node copies the set from object storage (which provides "
            f"{plan.assumptions['read_mb_s_node']:,.0f} MB/s): {need.read_gb:.1f} GB in total, and "
            f"{cached}."
        )
    return (
        f"Loading, all nodes: {cores} and {need.read_mb_s:,.0f} MB/s from disk (which provides "
        f"{need.limit_mb_s:,.0f}) in the first epoch, then {need.cached_cores:.2f} cores. Each "
        f"node reads the set once: {need.read_gb:.1f} GB in total, and {cached}."
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
    yield f"Time {duration(3600 * plan.chosen.hours)}, {plan.gpu_hours:.3g} GPU-hours{money}."
