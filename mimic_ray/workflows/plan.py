"""Estimates the resources that a purification needs, without data, weights or a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.errors import MimicError, UsageError, option
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.encoders.encoder import Spec
from mimic_ray.execution.setup import cached_side, teacher_cache_pays
from mimic_ray.method.losses.weighted_terms import reads_taps
from mimic_ray.method.recipe import Recipe, check_recipe, parse_recipe
from mimic_ray.planning import hardware, run_time, throughput
from mimic_ray.planning.advice import Changes, advice, largest_batch
from mimic_ray.planning.hardware import Hardware
from mimic_ray.planning.memory import STRATEGIES, memory
from mimic_ray.planning.plan_request import PlanRequest
from mimic_ray.planning.read_rates import SOURCES, copy_s, node_bytes_s, reading_images_s
from mimic_ray.planning.run_time import Workload
from mimic_ray.planning.strategy_cost import (
    USABLE_MEMORY,
    Cluster,
    StrategyCost,
    strategy_cost,
)
from mimic_ray.planning.throughput import Loader, decode_images_s, loader
from mimic_ray.planning.trace import Trace, build_without_weights, trace
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.workflows.run_forwards import run_forwards

_LARGEST_BATCH = 128


@dataclass(frozen=True)
class Plan:
    """All figures of a plan; `chosen` is the fastest strategy that fits, or None."""

    encoder: str
    hardware: Hardware
    gpus: int
    precision: str
    batch: int  # images per device and step
    traced: Trace  # of one of its `accumulate` parts
    cached_views: int  # fixed views whose teacher outputs are computed once, before the first step
    accumulate: int
    images: int
    epochs: int
    steps: int
    strategies: list[StrategyCost]
    chosen: StrategyCost | None
    loader: Loader | None
    source: str
    advice: list[Changes]  # alternatives, each of which fits; empty if the plan fits
    price_per_hour: float | None
    assumptions: dict[str, float]

    @property
    def gpu_hours(self) -> float | None:
        return self.chosen.hours * self.gpus if self.chosen else None

    @property
    def cost(self) -> float | None:
        hours, price = self.gpu_hours, self.price_per_hour
        return None if hours is None or price is None else hours * price

    def to_json(self) -> dict[str, Any]:
        """All figures and assumptions; bytes, FLOPs and seconds are those of the traced part."""
        return {**asdict(self), "gpu_hours": self.gpu_hours, "cost": self.cost}


@checked_arguments
def plan(
    encoder: str,
    *,
    gpus: int = 1,
    gpu: str = "h100",
    images: int = 50_000,
    epochs: int = 100,
    batch: int = 0,
    strategy: str = "auto",
    teacher_placement: str = "auto",
    recipe: str | Path | Recipe = "auto",
    settings: Iterable[str] = (),
    source: str = "local",
    read_mb_s: float = 0,
    image_bytes: int = throughput.JPEG_BYTES,
    utilisation: float = throughput.UTILISATION,
    price_per_hour: float | None = None,
) -> Plan:
    """Estimates memory, time and cost of a purification, without data, weights or a GPU.

    Args:
        encoder: Architecture, as for `purify`.
        gpus: Number of GPUs, one worker each.
        gpu: a100, a100_40, h100, h200, l4, l40s, a10g, t4, v100 or rtx4090.
        images: Number of clean images.
        epochs: Passes over them.
        batch: Images per GPU and step. 0: the largest power of two up to 128 that fits.
        strategy: `auto`, `ddp` or `fsdp`.
        teacher_placement: `auto`, `replicated` or `sharded`.
        recipe: Name or file of a recipe, or a `Recipe`.
        settings: Changes to it, such as `training.accumulate=4` or
            `training.checkpoint_activations=true`.
        source: Where the images are: `local` (a disk on each node) or `object` (object storage).
        read_mb_s: MB/s that a node reads. 0: the rate of `source`.
        image_bytes: Mean size of a JPEG file.
        utilisation: Share of the peak FLOP/s that a step reaches.
        price_per_hour: Price of one GPU-hour, in any currency.

    Returns:
        All strategies with memory in bytes and images/s; the chosen one with hours, GPU-hours and
        cost. If none fits, `chosen` is None, and each entry of `advice` is a change of arguments
        with which one does.

    Raises:
        UsageError: Invalid settings; UnknownNameError or RecipeError for an unknown name or key.

    Example:
        found = mimic_ray.plan("resnet50", gpus=8, gpu="a100", images=64_000, price_per_hour=2.5)
        print(found.batch, found.chosen.hours, found.cost)
    """
    return make_plan(
        PlanRequest(
            encoder=encoder,
            gpus=gpus,
            gpu=gpu,
            images=images,
            epochs=epochs,
            batch=batch,
            strategy=strategy,
            teacher_placement=teacher_placement,
            recipe=recipe,
            settings=tuple(settings),
            source=source,
            read_mb_s=read_mb_s,
            image_bytes=image_bytes,
            utilisation=utilisation,
            price_per_hour=price_per_hour,
        )
    )


def make_plan(request: PlanRequest, *, advise: bool = True) -> Plan:
    """`plan` for a request. Without `advise` it does not search for changes that would fit."""
    card, gpus = hardware.find(request.gpu), request.gpus
    spec = build_without_weights(request.encoder).spec
    recipe = load_recipe(request.recipe, request.settings, request.encoder)
    cluster = Cluster(card, gpus, _precision(recipe, card), request.utilisation)
    batch = request.batch or _default_batch(request, recipe, cluster)
    if batch * gpus < 2:
        raise UsageError(f"{option('batch', 1)} on one GPU is too small: set 2 or more.")
    steps_per_epoch = EpochPlan(request.images, batch * gpus, 0).steps_per_epoch
    recipe = _resized(recipe, batch * gpus, steps_per_epoch * request.epochs)
    check_recipe(recipe, gpus)

    cached_views = _cached_views(request, recipe, spec)
    accumulate = recipe.training.accumulate
    part = -(-batch // accumulate)
    traced = trace(request.encoder, recipe, part, cluster.precision, cached_views > 0)
    nodes = -(-gpus // card.per_node)
    reading = _reading(request, nodes)
    forwards = sum(run_forwards(recipe, request.images, spec.input_size)) + cached_views
    workload = _workload(request, steps_per_epoch * batch * gpus, nodes, forwards, traced)
    costs = [
        strategy_cost(traced, name, cluster, accumulate, workload)
        for name in (STRATEGIES if gpus > 1 else STRATEGIES[:1])
    ]
    allowed = [cost for cost in costs if request.allows(cost.memory.strategy)]
    chosen = max((c for c in allowed if c.fits), key=lambda c: c.images_s, default=None)
    changes: list[Changes] = []
    if advise and not chosen:
        needed = min(cost.memory.total for cost in allowed)
        estimate = largest_batch(traced, needed, cluster.usable_memory, accumulate)
        changes = _advice(replace(request, batch=batch), recipe, cluster, estimate)
    side = cached_side(recipe, spec.input_size)
    return Plan(
        encoder=request.encoder,
        hardware=card,
        gpus=gpus,
        precision=cluster.precision,
        batch=batch,
        traced=traced,
        cached_views=cached_views,
        accumulate=accumulate,
        images=request.images,
        epochs=request.epochs,
        steps=recipe.training.steps,
        strategies=costs,
        chosen=chosen,
        loader=loader(chosen.images_s, request.images, side, request.image_bytes, reading, nodes)
        if chosen
        else None,
        source=request.source,
        advice=changes,
        price_per_hour=request.price_per_hour,
        assumptions=_assumptions(request),
    )


def _reading(request: PlanRequest, nodes: int) -> float:
    """Images per second that all nodes read."""
    source = SOURCES[request.source]
    return reading_images_s(source, request.image_bytes, nodes, request.read_mb_s)


def _workload(
    request: PlanRequest, epoch_images: int, nodes: int, forwards: int, traced: Trace
) -> Workload:
    source = SOURCES[request.source]
    decoding = throughput.CORES * request.gpus * decode_images_s(request.image_bytes)
    on_storage = request.source == "object"
    return Workload(
        epoch_images=epoch_images,
        epochs=request.epochs,
        fill_images_s=min(_reading(request, nodes), decoding),
        nodes=nodes,
        copy_s=copy_s(source, request.images * request.image_bytes, request.read_mb_s),
        forwards=forwards,
        state_bytes=3 * traced.gradients,  # weights and two moments
        publish_bytes_s=node_bytes_s(source, request.read_mb_s) if on_storage else float("inf"),
    )


def _assumptions(request: PlanRequest) -> dict[str, float]:
    """The figures that a plan rests on and that a measurement could replace."""
    node_rate = node_bytes_s(SOURCES[request.source], request.read_mb_s)
    return {
        "utilisation": request.utilisation,
        "published_low": throughput.PUBLISHED[0],
        "published_high": throughput.PUBLISHED[1],
        "bandwidth_share": throughput.BANDWIDTH_SHARE,
        "link_share": throughput.LINK_SHARE,
        "launch_s": throughput.LAUNCH_S,
        "usable_memory_share": USABLE_MEMORY,
        "decode_images_s_core": throughput.DECODE_JPEG,
        "gather_images_s_core": throughput.GATHER_DECODED,
        "image_bytes": request.image_bytes,
        "read_mb_s_node": node_rate / 1e6,
        "cores_gpu": throughput.CORES,
        "copy_state_mb_s": run_time.COPY_BYTES_S / 1e6,
        "write_state_mb_s": run_time.WRITE_BYTES_S / 1e6,
    }


def _precision(recipe: Recipe, card: Hardware) -> str:
    if recipe.training.precision == "auto":
        return "bf16" if card.bf16 > card.fp32 else "fp32"
    return recipe.training.precision


def _cached_views(request: PlanRequest, recipe: Recipe, spec: Spec) -> int:
    """The number of fixed views whose teacher outputs a run caches; 0 with several workers."""
    taps = len(spec.taps) if reads_taps(recipe.loss) else 0
    cached = request.gpus == 1 and teacher_cache_pays(spec, request.images, recipe, taps)
    return recipe.views.fixed * request.images if cached else 0


def _advice(
    request: PlanRequest, recipe: Recipe, cluster: Cluster, estimated_batch: int
) -> list[Changes]:
    def fits(changes: Changes) -> bool:
        settings = (*request.settings, *changes.get("settings", ()))
        try:
            changed = replace(request, **{**changes, "settings": settings})
            return make_plan(changed, advise=False).chosen is not None
        except MimicError:  # not possible with this recipe or number of images
            return False

    return advice(fits, request, recipe, cluster, estimated_batch)


def _default_batch(request: PlanRequest, recipe: Recipe, cluster: Cluster) -> int:
    """The largest batch, extrapolated from the memory of two small ones."""
    accumulate = recipe.training.accumulate
    trial = _resized(recipe, 8 * accumulate * cluster.devices)
    small, large = (trace(request.encoder, trial, n, cluster.precision) for n in (4, 8))
    per_image = (large.activations + large.views - small.activations - small.views) / 4
    smallest = STRATEGIES[-1] if cluster.devices > 1 else STRATEGIES[0]
    fixed = memory(large, smallest, cluster.devices).total - 8 * per_image
    batch = _LARGEST_BATCH
    while batch > 2 * accumulate and (
        batch * cluster.devices > request.images
        or fixed + batch / accumulate * per_image > cluster.usable_memory
    ):
        batch //= 2
    return max(batch, accumulate)


def _resized(recipe: Recipe, batch: int, steps: int = 0) -> Recipe:
    """The recipe with another global batch and number of steps, validated again."""
    content = recipe.model_dump()
    content["training"]["batch"] = max(batch, 2)
    content["training"]["steps"] = steps or recipe.training.steps
    return parse_recipe(content, "plan")
