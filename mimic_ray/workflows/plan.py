"""What a purification needs of a cluster, before it is paid for: no data, no device, no weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from mimic_ray.base import devices
from mimic_ray.base.errors import MimicError, UsageError
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.encoders import encoder_registry
from mimic_ray.execution.setup import cached_side, teacher_cache_pays
from mimic_ray.method.recipe import Recipe, check_workers, parse_recipe
from mimic_ray.planning import calibrate, throughput
from mimic_ray.planning.advice import advice, largest_batch
from mimic_ray.planning.hardware import Hardware, find
from mimic_ray.planning.memory import STRATEGIES, memory
from mimic_ray.planning.plan_request import Asked
from mimic_ray.planning.read_rates import SOURCES, reading_images_s
from mimic_ray.planning.strategy_cost import USABLE, Cluster, Length, Way, way
from mimic_ray.planning.throughput import Loader, loader
from mimic_ray.planning.trace import Trace, trace
from mimic_ray.store.recipe_file import load_recipe

_LARGEST_BATCH = 128


@dataclass(frozen=True)
class Plan:
    """Everything the command shows; `chosen` is None where nothing fits."""

    encoder: str
    hardware: Hardware
    gpus: int
    precision: str
    batch: int  # images a device and step
    traced: Trace  # of one of `accumulate` parts of that
    recorded: int  # views that the teacher is asked about once, before the first step
    accumulate: int
    images: int
    epochs: int
    steps: int
    ways: list[Way]
    chosen: Way | None
    loader: Loader | None
    source: str
    advice: list[str]
    price: float | None
    assumptions: dict[str, float]

    @property
    def gpu_hours(self) -> float | None:
        return self.chosen.hours * self.gpus if self.chosen else None

    @property
    def cost(self) -> float | None:
        hours = self.gpu_hours
        return None if hours is None or self.price is None else hours * self.price

    def to_json(self) -> dict[str, Any]:
        """Every figure and assumption: bytes, FLOPs, seconds of the traced part of a step."""
        return {**asdict(self), "gpu_hours": self.gpu_hours, "cost": self.cost}


def plan(asked: Asked, advise: bool = True) -> Plan:
    """The plan; without `advise` it does not say what would make it fit.

    Raises UsageError, UnknownNameError or RecipeError for what cannot be planned.
    """
    cluster = _cluster(asked)
    base = load_recipe(asked.recipe, asked.settings)
    gpus, accumulate = asked.gpus, asked.accumulate

    def settled(each: int, steps: int = 0) -> Recipe:
        return with_batch(base, each * gpus, accumulate, asked.checkpoint_activations, steps)

    batch = asked.batch or _default_batch(asked, settled, cluster)
    check_workers(settled(batch), gpus)
    if batch * gpus < 2:
        raise UsageError("--batch 1 on one device is no batch: set --batch 2 or more.")
    each_epoch = EpochPlan(asked.images, batch * gpus, 0).steps_per_epoch
    recipe = settled(batch, each_epoch * asked.epochs)
    spec = encoder_registry.build(asked.encoder).spec
    taps = len(spec.taps) if recipe.loss.attention > 0 else 0
    # As a run does: several workers ask the teacher anew.
    recorded = gpus == 1 and teacher_cache_pays(spec, asked.images, recipe, taps)
    part = -(-batch // accumulate)
    traced = trace(asked.encoder, recipe, part, cluster.precision, recorded)
    per_node = cluster.hardware.per_node
    reading = reading_images_s(
        SOURCES[asked.source], asked.image_bytes, gpus, per_node, asked.read_mb_s
    )
    length = Length(
        images=recipe.training.steps * batch * gpus,
        first_epoch=each_epoch * batch * gpus,
        reading_images_s=reading,
        recorded=recipe.views.fixed * asked.images if recorded else 0,
    )
    names = STRATEGIES if gpus > 1 else STRATEGIES[:1]
    ways = [way(traced, name, cluster, accumulate, length) for name in names]
    wanted = [w for w in ways if asked.wants(w.memory.strategy)]
    chosen = max((w for w in wanted if w.fits), key=lambda w: w.images_s, default=None)
    nodes = -(-gpus // per_node)
    return Plan(
        encoder=asked.encoder,
        hardware=cluster.hardware,
        gpus=gpus,
        precision=cluster.precision,
        batch=batch,
        traced=traced,
        recorded=length.recorded,
        accumulate=accumulate,
        images=asked.images,
        epochs=asked.epochs,
        steps=recipe.training.steps,
        ways=ways,
        chosen=chosen,
        loader=loader(
            chosen.images_s,
            asked.images,
            cached_side(recipe, spec.input_size),
            asked.image_bytes,
            reading,
            nodes,
        )
        if chosen
        else None,
        source=asked.source,
        advice=_advice(replace(asked, batch=batch), cluster, traced, ways, recipe)
        if advise and not chosen
        else [],
        price=asked.price,
        assumptions={
            "utilisation": asked.utilisation,
            "bandwidth_share": throughput.BANDWIDTH_SHARE,
            "link_share": throughput.LINK_SHARE,
            "start_s": throughput.START_S,
            "usable_memory_share": USABLE,
            "decode_images_s_core": throughput.DECODE_JPEG,
            "gather_images_s_core": throughput.GATHER_DECODED,
            "image_bytes": asked.image_bytes,
            "read_mb_s_node": reading * asked.image_bytes / 1e6 / nodes,
        },
    )


def _advice(
    asked: Asked, cluster: Cluster, traced: Trace, ways: list[Way], recipe: Recipe
) -> list[str]:
    """Each of it planned anew, and found to fit."""

    def fits(**changes: Any) -> bool:
        try:
            return plan(replace(asked, **changes), advise=False).chosen is not None
        except MimicError:  # the recipe or the images do not allow it
            return False

    wanted = [w.memory.total for w in ways if asked.wants(w.memory.strategy)]
    room = USABLE * cluster.hardware.memory
    return advice(
        fits,
        hardware=cluster.hardware,
        gpus=asked.gpus,
        batch=asked.batch,
        accumulate=asked.accumulate,
        guess=largest_batch(traced, min(wanted), room, asked.accumulate),
        precision=cluster.precision,
        checkpointed=recipe.training.checkpoint_activations,
        settled=len(wanted) < len(ways),
    )


def _default_batch(asked: Asked, settled: Callable[[int], Recipe], cluster: Cluster) -> int:
    """By what one image more takes between two small batches."""
    accumulate = asked.accumulate
    recipe = settled(8 * accumulate)
    small, large = (trace(asked.encoder, recipe, n, cluster.precision) for n in (4, 8))
    each = (large.activations + large.views - small.activations - small.views) / 4
    leanest = STRATEGIES[-1] if cluster.devices > 1 else STRATEGIES[0]
    fixed = memory(large, leanest, cluster.devices).total - 8 * each
    room = USABLE * cluster.hardware.memory
    batch = _LARGEST_BATCH
    while batch > 2 * accumulate and (
        batch * cluster.devices > asked.images or fixed + batch / accumulate * each > room
    ):
        batch //= 2
    return max(batch, accumulate)


def _cluster(asked: Asked) -> Cluster:
    """`cpu` is measured. Raises UnknownNameError, ResourceError."""
    if asked.gpu == "cpu":
        compute = devices.choose("cpu", asked.precision, asked.threads)  # type: ignore[arg-type]
        rates = calibrate.measure(compute)
        hardware, precision = _this_cpu(rates), rates.precision
        return Cluster(hardware, asked.gpus, precision, asked.utilisation, rates)
    hardware, precision = find(asked.gpu), asked.precision
    if precision == "auto":
        precision = "bf16" if hardware.bf16 > hardware.fp32 else "fp32"
    return Cluster(hardware, asked.gpus, precision, asked.utilisation)


def with_batch(
    recipe: Recipe, batch: int, accumulate: int, checkpoint: bool, steps: int = 0
) -> Recipe:
    """The recipe of this global batch. Checked again: terms and parts must agree."""
    content = recipe.model_dump()
    training = content["training"]
    training["batch"] = max(batch, 2)
    training["accumulate"] = accumulate
    training["steps"] = steps or training["steps"]
    training["checkpoint_activations"] |= checkpoint
    return parse_recipe(content, "plan")


def _this_cpu(rates: calibrate.Rates) -> Hardware:
    """This machine's CPU as one device; several are machines like it, with 10 Gb/s between."""
    # Both precisions as measured in the one that is asked for.
    return Hardware(
        name="cpu",
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        bf16=rates.matrix_peak,
        fp32=rates.matrix_peak,
        bandwidth=rates.bandwidth / throughput.BANDWIDTH_SHARE,
        link=1.25e9,
        network=1.25e9,
        per_node=1,
    )
