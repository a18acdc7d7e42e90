"""What a purification needs of a cluster, before it is paid for: no data, no device, no weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mimic_ray.base import devices
from mimic_ray.base.errors import MimicError, UsageError, option
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.encoders import encoder_registry
from mimic_ray.execution.setup import cached_side, teacher_cache_pays
from mimic_ray.method.recipe import Recipe, check_workers, parse_recipe
from mimic_ray.planning import calibrate, throughput
from mimic_ray.planning.advice import advice, largest_batch
from mimic_ray.planning.hardware import Hardware, find
from mimic_ray.planning.memory import STRATEGIES, memory
from mimic_ray.planning.plan_request import PlanRequest
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


def plan(
    encoder: str,
    *,
    gpus: int = 1,
    gpu: str = "h100",
    images: int = 50_000,
    epochs: int = 100,
    batch: int = 0,
    strategy: str = "auto",
    teacher: str = "auto",
    precision: str = "auto",
    accumulate: int = 1,
    checkpoint_activations: bool = False,
    recipe: str | Path | Recipe = "default",
    settings: Iterable[str] = (),
    source: str = "local",
    read_mb_s: float = 0,
    image_bytes: int = throughput.JPEG_BYTES,
    utilisation: float = throughput.UTILISATION,
    price_per_hour: float | None = None,
    threads: int = 0,
) -> Plan:
    """Estimates memory, time and cost of a purification, without data, weights or a GPU.

    Args:
        encoder: Architecture, as for `purify`.
        gpus: Devices in all, one worker each.
        gpu: a100, a100_40, h100, h200, l4, a10g, t4, v100, rtx4090, or cpu: this machine, measured.
        images: Number of clean images.
        epochs: Passes over them.
        batch: Images per device and step. 0: the largest power of two up to 128 that fits.
        strategy: `auto`, `ddp` or `fsdp`.
        teacher: `auto`, `replicated` or `sharded`.
        precision: `auto`, `bf16` or `fp32`.
        accumulate: Parts of a step's batch, computed one after the other.
        checkpoint_activations: Recompute activations instead of keeping them.
        recipe: Name or file of a recipe, or a `Recipe`.
        settings: Changes to it, such as `loss.attention=1`.
        source: Where the images are: `local` (a disk on each node) or `object` (object storage).
        read_mb_s: MB/s that a node reads. 0: the rate of `source`.
        image_bytes: Mean size of a JPEG file.
        utilisation: Share of the peak FLOP/s that a step reaches.
        price_per_hour: Of one device, in any currency.
        threads: CPU threads, where `gpu` is cpu; 0 uses all.

    Returns:
        Every strategy with memory in bytes and images/s, the chosen one with hours, GPU hours and
        cost; where nothing fits, `chosen` is None and `advice` says what would fit.

    Raises:
        UsageError: For settings that cannot be planned; UnknownNameError or RecipeError for an
            unknown name or key.

    Example:
        found = mimic_ray.plan("resnet50", gpus=8, gpu="a100", images=64_000, price_per_hour=2.5)
        print(found.batch, found.chosen.hours, found.cost)
    """
    return plan_of(
        PlanRequest(
            encoder,
            gpus,
            gpu,
            images,
            epochs,
            batch=batch,
            strategy=strategy,
            teacher=teacher,
            precision=precision,
            accumulate=accumulate,
            checkpoint_activations=checkpoint_activations,
            recipe=recipe,
            settings=tuple(settings),
            source=source,
            read_mb_s=read_mb_s,
            image_bytes=image_bytes,
            utilisation=utilisation,
            price=price_per_hour,
            threads=threads,
        )
    )


def plan_of(request: PlanRequest, advise: bool = True) -> Plan:
    """The plan; without `advise` it does not say what would make it fit.

    Raises UsageError, UnknownNameError or RecipeError for what cannot be planned.
    """
    cluster = _cluster(request)
    base = load_recipe(request.recipe, request.settings)
    gpus, accumulate = request.gpus, request.accumulate

    def settled(each: int, steps: int = 0) -> Recipe:
        return with_batch(base, each * gpus, accumulate, request.checkpoint_activations, steps)

    batch = request.batch or _default_batch(request, settled, cluster)
    check_workers(settled(batch), gpus)
    if batch * gpus < 2:
        raise UsageError(f"{option('batch', 1)} on one device is too small: use 2 or more.")
    each_epoch = EpochPlan(request.images, batch * gpus, 0).steps_per_epoch
    recipe = settled(batch, each_epoch * request.epochs)
    spec = encoder_registry.build(request.encoder).spec
    taps = len(spec.taps) if recipe.loss.attention > 0 else 0
    # As a run does: several workers ask the teacher anew.
    recorded = gpus == 1 and teacher_cache_pays(spec, request.images, recipe, taps)
    part = -(-batch // accumulate)
    traced = trace(request.encoder, recipe, part, cluster.precision, recorded)
    per_node = cluster.hardware.per_node
    reading = reading_images_s(
        SOURCES[request.source], request.image_bytes, gpus, per_node, request.read_mb_s
    )
    length = Length(
        images=recipe.training.steps * batch * gpus,
        first_epoch=each_epoch * batch * gpus,
        reading_images_s=reading,
        recorded=recipe.views.fixed * request.images if recorded else 0,
    )
    names = STRATEGIES if gpus > 1 else STRATEGIES[:1]
    ways = [way(traced, name, cluster, accumulate, length) for name in names]
    wanted = [w for w in ways if request.includes(w.memory.strategy)]
    chosen = max((w for w in wanted if w.fits), key=lambda w: w.images_s, default=None)
    nodes = -(-gpus // per_node)
    return Plan(
        encoder=request.encoder,
        hardware=cluster.hardware,
        gpus=gpus,
        precision=cluster.precision,
        batch=batch,
        traced=traced,
        recorded=length.recorded,
        accumulate=accumulate,
        images=request.images,
        epochs=request.epochs,
        steps=recipe.training.steps,
        ways=ways,
        chosen=chosen,
        loader=loader(
            chosen.images_s,
            request.images,
            cached_side(recipe, spec.input_size),
            request.image_bytes,
            reading,
            nodes,
        )
        if chosen
        else None,
        source=request.source,
        advice=_advice(replace(request, batch=batch), cluster, traced, ways, recipe)
        if advise and not chosen
        else [],
        price=request.price,
        assumptions={
            "utilisation": request.utilisation,
            "bandwidth_share": throughput.BANDWIDTH_SHARE,
            "link_share": throughput.LINK_SHARE,
            "start_s": throughput.START_S,
            "usable_memory_share": USABLE,
            "decode_images_s_core": throughput.DECODE_JPEG,
            "gather_images_s_core": throughput.GATHER_DECODED,
            "image_bytes": request.image_bytes,
            "read_mb_s_node": reading * request.image_bytes / 1e6 / nodes,
        },
    )


def _advice(
    request: PlanRequest, cluster: Cluster, traced: Trace, ways: list[Way], recipe: Recipe
) -> list[str]:
    """Each of it planned anew, and found to fit."""

    def fits(**changes: Any) -> bool:
        try:
            return plan_of(replace(request, **changes), advise=False).chosen is not None
        except MimicError:  # the recipe or the images do not allow it
            return False

    wanted = [w.memory.total for w in ways if request.includes(w.memory.strategy)]
    room = USABLE * cluster.hardware.memory
    return advice(
        fits,
        hardware=cluster.hardware,
        gpus=request.gpus,
        batch=request.batch,
        accumulate=request.accumulate,
        guess=largest_batch(traced, min(wanted), room, request.accumulate),
        precision=cluster.precision,
        checkpointed=recipe.training.checkpoint_activations,
        settled=len(wanted) < len(ways),
    )


def _default_batch(request: PlanRequest, settled: Callable[[int], Recipe], cluster: Cluster) -> int:
    """By what one image more takes between two small batches."""
    accumulate = request.accumulate
    recipe = settled(8 * accumulate)
    small, large = (trace(request.encoder, recipe, n, cluster.precision) for n in (4, 8))
    each = (large.activations + large.views - small.activations - small.views) / 4
    leanest = STRATEGIES[-1] if cluster.devices > 1 else STRATEGIES[0]
    fixed = memory(large, leanest, cluster.devices).total - 8 * each
    room = USABLE * cluster.hardware.memory
    batch = _LARGEST_BATCH
    while batch > 2 * accumulate and (
        batch * cluster.devices > request.images or fixed + batch / accumulate * each > room
    ):
        batch //= 2
    return max(batch, accumulate)


def _cluster(request: PlanRequest) -> Cluster:
    """`cpu` is measured. Raises UnknownNameError, ResourceError."""
    if request.gpu == "cpu":
        compute = devices.choose("cpu", request.precision, request.threads)  # type: ignore[arg-type]
        rates = calibrate.measure(compute)
        hardware, precision = _this_cpu(rates), rates.precision
        return Cluster(hardware, request.gpus, precision, request.utilisation, rates)
    hardware, precision = find(request.gpu), request.precision
    if precision == "auto":
        precision = "bf16" if hardware.bf16 > hardware.fp32 else "fp32"
    return Cluster(hardware, request.gpus, precision, request.utilisation)


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
