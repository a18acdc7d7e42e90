"""A plan as lines and tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from mimic_ray.base.text import count, duration
from mimic_ray.planning.hardware import GIB

if TYPE_CHECKING:
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
    """What is planned and what a step computes."""
    traced, each = plan.traced, plan.traced.batch
    yield (
        f"{plan.encoder}: {traced.student_parameters / 1e6:.1f} M parameters. GFLOP an image: "
        f"forward {traced.forward_flops / each / 1e9:.3g}, teacher "
        f"{traced.teacher_flops / each / 1e9:.3g}, student forward and backward "
        f"{traced.student_flops / each / 1e9:.3g}; together {traced.flops / each / 1e9:.3g}."
    )
    parts = f" in {plan.accumulate} parts" if plan.accumulate > 1 else ""
    yield (
        f"{plan.gpus} x {plan.hardware.name} in {plan.precision}, {plan.batch} images each a "
        f"step{parts}: global batch {plan.batch * plan.gpus:,}, {count(plan.steps, 'step')} for "
        f"{count(plan.epochs, 'epoch')} of {count(plan.images, 'image')}."
    )


def strategy_table(plan: Plan) -> Table:
    """One strategy a column: memory, what each resource allows, time."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("Per GPU")
    for way in plan.ways:
        mark = " *" if way is plan.chosen else ""
        table.add_column(way.memory.strategy + mark, justify="right", no_wrap=True)
    for part in _MEMORY_ROWS:
        table.add_row(part, *(gib(getattr(way.memory, part)) for way in plan.ways))
    table.add_row(
        f"sum, of {plan.hardware.memory / GIB:.0f} GiB",
        *(gib(way.memory.total) + ("" if way.fits else " no") for way in plan.ways),
        end_section=True,
    )
    for name in sorted({bound.by for way in plan.ways for bound in way.bounds}):
        rates = ({b.by: b.images_s for b in way.bounds}[name] for way in plan.ways)
        table.add_row(f"images/s by {name}", *(f"{rate:,.0f}" for rate in rates))
    table.add_row("bottleneck", *(way.bottleneck for way in plan.ways), end_section=True)
    table.add_row("all: images/s", *(f"{way.images_s:,.0f}" for way in plan.ways))
    table.add_row("all: time", *(duration(3600 * way.hours) for way in plan.ways))
    return table


def gib(size: float) -> str:
    """`4.90 GiB`, or in MiB where that would be less than 0.1."""
    if size == 0:
        return "-"
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / (1 << 20):.1f} MiB"


def slow_start(plan: Plan, need: Loader) -> str:
    """How long the first epoch takes where the source holds it up."""
    if need.limit_mb_s >= need.read_mb_s:
        return ""
    size = plan.steps // plan.epochs * plan.batch * plan.gpus
    trains = size / (need.read_mb_s * 1e6 / plan.assumptions["image_bytes"])
    waits = trains * need.read_mb_s / need.limit_mb_s
    return f" (it takes {duration(waits)}, not {duration(trains)})"


def closing(plan: Plan) -> Iterator[str]:
    """The answer: what is chosen and needs, or what would make it fit."""
    if plan.chosen is None or plan.loader is None:
        if plan.advice:
            yield f"It does not fit. What would make it fit: {'; or '.join(plan.advice)}."
        else:
            yield "It does not fit, nor with more GPUs, another card or smaller parts of a step."
        return
    assumed = plan.assumptions
    yield (
        f"* Chosen: {plan.chosen.memory.strategy}, bound by {plan.chosen.bottleneck}. Assumed: "
        f"{assumed['utilisation']:.0%} of the peak, {assumed['bandwidth_share']:.0%} of the memory "
        f"bandwidth, {assumed['link_share']:.0%} of the link, "
        f"{assumed['start_s'] * 1e6:.0f} us to start a kernel, "
        f"{assumed['usable_memory_share']:.0%} of the memory usable. A bound, not a promise: each "
        "resource is taken to hide behind the slowest."
    )
    need = plan.loader
    where = "object storage" if plan.source == "object" else "disk"
    yield (
        f"Loader, all hosts: {need.decode_cores:.1f} cores and {need.read_mb_s:,.0f} MB/s from "
        f"{where}, which gives {need.limit_mb_s:,.0f}, while the first epoch is decoded"
        f"{slow_start(plan, need)}; then {need.cached_cores:.2f} cores. Every node reads the set "
        f"once: {need.read_gb:.1f} GB in all, {need.cache_gb:.1f} GB kept decoded."
    )
    if plan.recorded:
        yield f"The teacher is asked once, about {plan.recorded:,} fixed views, not in each step."
    money = "" if plan.cost is None else f", cost {plan.cost:,.2f} at {plan.price:g} a GPU-hour"
    more = "" if plan.price is not None else " With --price-per-hour it says the cost."
    yield f"Time {duration(3600 * plan.chosen.hours)}, {plan.gpu_hours:.3g} GPU-hours{money}.{more}"
