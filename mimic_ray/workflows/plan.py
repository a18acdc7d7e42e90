"""What a purification needs of a cluster, before it is paid for: no data, no device, no weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mimic_ray.base import devices
from mimic_ray.base.errors import UsageError
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.encoders import registry
from mimic_ray.method.recipe import Recipe, check_workers, parse_recipe
from mimic_ray.planning import calibrate, throughput
from mimic_ray.planning.hardware import GIB, Hardware, find
from mimic_ray.planning.memory import STRATEGIES, Memory, memory
from mimic_ray.planning.step import make_step
from mimic_ray.planning.throughput import Bound, Loader, bounds, loader
from mimic_ray.planning.trace import Trace, trace
from mimic_ray.runs.prepare import cached_side
from mimic_ray.runs.recipe_file import load_recipe

# Left to the driver, the allocator's rounding and what kernels take for themselves.
_USABLE = 0.92
_LARGEST_BATCH = 128


@dataclass(frozen=True)
class Way:
    """One strategy."""

    memory: Memory
    fits: bool
    bounds: list[Bound]  # the slowest first
    images_s: float  # of all devices
    hours: float

    @property
    def bottleneck(self) -> str:
        return self.bounds[0].by


@dataclass(frozen=True)
class Plan:
    """Everything the command shows; `chosen` is None where nothing fits."""

    encoder: str
    hardware: Hardware
    gpus: int
    precision: str
    batch: int  # images a device and step
    traced: Trace  # of one of `accumulate` parts of that
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


@dataclass(frozen=True)
class Calibration:
    """This machine against what the planner says of it."""

    rates: calibrate.Rates
    batch: int
    predicted_s: float
    step_s: float
    flops: int

    @property
    def utilisation(self) -> float:
        """FLOPs of the real step over what the matrix peak would do in its time."""
        return self.flops / self.step_s / self.rates.matrix_peak

    def to_json(self) -> dict[str, Any]:
        """With the share of the matrix peak."""
        return {**asdict(self), "utilisation": self.utilisation}


def plan(
    encoder: str,
    gpus: int,
    gpu: str,
    images: int,
    epochs: int,
    *,
    batch: int = 0,
    strategy: str = "auto",
    teacher: str = "auto",
    precision: str = "auto",
    accumulate: int = 1,
    checkpoint_activations: bool = False,
    recipe: str = "default",
    settings: Iterable[str] = (),
    source: str = "local",
    image_bytes: int = throughput.JPEG_BYTES,
    utilisation: float = throughput.UTILISATION,
    price: float | None = None,
    threads: int = 0,
) -> Plan:
    """The plan; `batch` 0 is the largest power of two up to 128 that fits and that images fill.

    Raises UsageError, UnknownNameError or RecipeError for what cannot be planned.
    """
    _check(gpus=gpus, images=images, epochs=epochs, accumulate=accumulate, image_bytes=image_bytes)
    _one_of("--strategy", strategy, ("auto", "ddp", "fsdp"))
    _one_of("--teacher", teacher, ("auto", "replicated", "sharded"))
    _one_of("--precision", precision, ("auto", "bf16", "fp32"))
    _one_of("--source", source, ("local", "object"))
    if not 0 < utilisation <= 1:
        raise UsageError(f"--utilisation {utilisation} is a share of the peak: between 0 and 1.")
    if price is not None and not 0 <= price < float("inf"):
        raise UsageError(f"--price-per-hour {price} is no price of one GPU for an hour.")
    if batch < 0:
        raise UsageError(f"--batch {batch}: images of one device and step, 1 or more; 0 chooses.")
    if strategy == "ddp" and teacher == "sharded":
        raise UsageError("--teacher sharded needs --strategy fsdp: ddp keeps whole networks.")
    rates = None
    if gpu == "cpu":
        rates = calibrate.measure(devices.choose("cpu", precision, threads))  # type: ignore[arg-type]
        hardware, precision = _this_cpu(rates), rates.precision
    else:
        hardware = find(gpu)
        if precision == "auto":
            precision = "bf16" if hardware.bf16 > hardware.fp32 else "fp32"
    base = load_recipe(recipe, settings)

    def settled(each: int) -> Recipe:
        return _with(base, each * gpus, accumulate, checkpoint_activations)

    if not batch:
        batch = _default_batch(encoder, settled, hardware, precision, images, gpus, accumulate)
    chosen_recipe = settled(batch)
    check_workers(chosen_recipe, gpus)
    if batch * gpus < 2:
        raise UsageError("--batch 1 on one device is no batch: set --batch 2 or more.")
    steps = EpochPlan(images, batch * gpus, 0).steps_per_epoch * epochs
    traced = trace(encoder, chosen_recipe, -(-batch // accumulate), precision)

    ways = [
        _way(traced, name, hardware, precision, gpus, accumulate, batch, steps, utilisation, rates)
        for name in (STRATEGIES if gpus > 1 else STRATEGIES[:1])
    ]
    wanted = [way for way in ways if _is_wanted(way.memory.strategy, strategy, teacher, gpus)]
    chosen = max((w for w in wanted if w.fits), key=lambda way: way.images_s, default=None)
    side = cached_side(chosen_recipe, registry.build(encoder).spec.input_size)
    return Plan(
        encoder=encoder,
        hardware=hardware,
        gpus=gpus,
        precision=precision,
        batch=batch,
        traced=traced,
        accumulate=accumulate,
        images=images,
        epochs=epochs,
        steps=steps,
        ways=ways,
        chosen=chosen,
        loader=loader(chosen.images_s, images, side, image_bytes) if chosen else None,
        source=source,
        advice=[] if chosen else _advice(traced, wanted, ways, hardware, precision, chosen_recipe),
        price=price,
        assumptions={
            "utilisation": utilisation,
            "bandwidth_share": throughput.BANDWIDTH_SHARE,
            "link_share": throughput.LINK_SHARE,
            "usable_memory_share": _USABLE,
            "decode_images_s_core": throughput.DECODE_JPEG,
            "gather_images_s_core": throughput.GATHER_DECODED,
            "image_bytes": image_bytes,
        },
    )


def calibration(
    encoder: str,
    batch: int = 8,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    recipe: str = "default",
    settings: Iterable[str] = (),
) -> Calibration:
    """Measures this machine, and a real step of the encoder on it beside the predicted one.

    The path on CUDA is the one on the CPU, with the wall's clock; it has not been run there.
    """
    _one_of("--precision", precision, ("auto", "bf16", "fp32"))
    compute = devices.choose(device, precision, threads)  # type: ignore[arg-type]
    resolved = _with(load_recipe(recipe, settings), batch, 1, False)
    rates = calibrate.measure(compute)
    networks = registry.build(encoder), registry.build(encoder)
    step = make_step(*networks, resolved, batch, compute)
    taken = calibrate.seconds(step.take, compute.torch_device)
    traced = trace(encoder, resolved, batch, compute.precision)
    return Calibration(rates, batch, calibrate.predict(traced, rates), taken, traced.flops)


def _way(
    traced: Trace,
    name: str,
    hardware: Hardware,
    precision: str,
    gpus: int,
    accumulate: int,
    batch: int,
    steps: int,
    utilisation: float,
    rates: calibrate.Rates | None,
) -> Way:
    needed = memory(traced, name, gpus)
    limits = bounds(traced, hardware, precision, name, gpus, accumulate, utilisation)
    if rates:  # measured rates say more than peaks do
        rest = [bound for bound in limits if bound.by == "collectives"]
        reached = Bound("this CPU, measured", traced.batch / calibrate.predict(traced, rates))
        limits = sorted([reached, *rest], key=lambda bound: bound.images_s)
    rate = limits[0].images_s * gpus
    return Way(
        memory=needed,
        fits=needed.total <= _USABLE * hardware.memory,
        bounds=limits,
        images_s=rate,
        hours=steps * batch * gpus / rate / 3600,
    )


def _default_batch(
    encoder: str,
    settled: Callable[[int], Recipe],
    hardware: Hardware,
    precision: str,
    images: int,
    gpus: int,
    accumulate: int,
) -> int:
    """By what one image more takes between two small batches."""
    small, large = (trace(encoder, settled(8 * accumulate), n, precision) for n in (4, 8))
    each = (large.activations + large.views - small.activations - small.views) / 4
    fixed = memory(large, STRATEGIES[-1] if gpus > 1 else "ddp", gpus).total - 8 * each
    batch = _LARGEST_BATCH
    while batch > 2 * accumulate and (
        batch * gpus > images or fixed + batch / accumulate * each > _USABLE * hardware.memory
    ):
        batch //= 2
    return max(batch, accumulate)


def _advice(
    traced: Trace,
    wanted: list[Way],
    ways: list[Way],
    hardware: Hardware,
    precision: str,
    recipe: Recipe,
) -> list[str]:
    """What would make it fit, each a change of the command."""
    found = []
    others = [way for way in ways if way.fits]
    if others:
        best = max(others, key=lambda way: way.images_s).memory.strategy
        found.append(f"{_option(best)} fits")
    smallest = min(wanted, key=lambda way: way.memory.total).memory
    room = _USABLE * hardware.memory
    per_image = (smallest.activations + smallest.views) / traced.batch
    fixed = smallest.total - per_image * traced.batch
    if fixed < room and (fitting := int((room - fixed) / per_image)):
        parts = -(-traced.batch // fitting)
        found.append(
            f"--batch {fitting * recipe.training.accumulate}, or "
            f"--accumulate {recipe.training.accumulate * parts} with this batch"
        )
    if not recipe.training.checkpoint_activations:
        found.append("--checkpoint-activations keeps less for one more forward")
    if precision == "fp32" and hardware.bf16 > hardware.fp32:
        found.append("--precision bf16 about halves the activations")
    if fixed >= room:
        found.append(
            f"what does not shrink with the batch is {fixed / GIB:.1f} GiB: more GPUs with "
            "--strategy fsdp --teacher sharded, or a larger card"
        )
    return found


def _option(strategy: str) -> str:
    return {
        "ddp": "--strategy ddp",
        "fsdp": "--strategy fsdp",
        "fsdp+teacher": "--strategy fsdp --teacher sharded",
    }[strategy]


def _is_wanted(name: str, strategy: str, teacher: str, gpus: int) -> bool:
    if gpus == 1:
        return True
    return (strategy == "auto" or name.startswith(strategy)) and (
        teacher == "auto" or (name == "fsdp+teacher") == (teacher == "sharded")
    )


def _with(recipe: Recipe, batch: int, accumulate: int, checkpoint: bool) -> Recipe:
    """The recipe of this global batch. Checked again: terms and parts must agree."""
    content = recipe.model_dump()
    training = content["training"]
    training["batch"] = max(batch, 2)
    training["accumulate"] = accumulate
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


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} {number}: a plan needs 1 or more.")


def _one_of(option: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise UsageError(f'{option} is {" or ".join(known)}, not "{given}".')
