"""Proposes changes that make a plan fit. Each proposal has been planned and fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mimic_ray.method.recipe import Recipe
from mimic_ray.planning.hardware import HARDWARE
from mimic_ray.planning.memory import STRATEGIES
from mimic_ray.planning.plan_request import PlanRequest
from mimic_ray.planning.strategy_cost import Cluster
from mimic_ray.planning.trace import Trace

# New values of a request's fields; "settings" are added to those it has.
Changes = dict[str, Any]

_STRATEGY_CHANGES = {
    "ddp": {"strategy": "ddp", "teacher_placement": "replicated"},
    "fsdp": {"strategy": "fsdp", "teacher_placement": "replicated"},
    "fsdp+teacher": {"strategy": "fsdp", "teacher_placement": "sharded"},
}
_CHECKPOINT = "training.checkpoint_activations=true"
# Beyond this multiple of the requested GPUs, propose another card instead.
_MORE_GPUS = 16


def largest_batch(traced: Trace, needed: int, available: float, accumulate: int) -> int:
    """Images per device and step if memory grows linearly with them; 0 if none fits.

    The traced part of a step takes `needed` of the `available` bytes.
    """
    per_image = (traced.activations + traced.views) / traced.batch
    left = available - (needed - per_image * traced.batch)
    return max(0, int(left / per_image)) * accumulate


def advice(
    fits: Callable[[Changes], bool],
    request: PlanRequest,
    recipe: Recipe,
    cluster: Cluster,
    estimated_batch: int,
) -> list[Changes]:
    """Alternative changes with which `fits` is true: single ones, else several at once.

    `request` has a batch; `estimated_batch` is where the search for a smaller one starts.
    """
    batch, accumulate = request.batch, recipe.training.accumulate
    found: list[Changes] = []
    if request.gpus > 1 and not all(map(request.allows, STRATEGIES)):
        found += _first(fits, (_STRATEGY_CHANGES[name] for name in STRATEGIES))
    found += _first(fits, ({"batch": n} for n in _shrinking(min(estimated_batch, batch - 1))))
    found += _first(fits, (_settings(_parts(n)) for n in _doubling(2 * accumulate, batch)))
    if not recipe.training.checkpoint_activations:
        found += _first(fits, iter([_settings(_CHECKPOINT)]))
    if cluster.precision == "fp32" and cluster.hardware.bf16 > cluster.hardware.fp32:
        found += _first(fits, iter([_settings("training.precision=bf16")]))
    return found or list(_larger(fits, request, cluster, accumulate))


def _larger(
    fits: Callable[[Changes], bool], request: PlanRequest, cluster: Cluster, accumulate: int
) -> Iterator[Changes]:
    """Several changes at once, or more hardware."""
    parts = _doubling(accumulate, request.batch)
    yield from _first(fits, (_settings(_CHECKPOINT, _parts(n)) for n in parts))
    gpus = _doubling(2 * request.gpus, _MORE_GPUS * request.gpus)
    yield from _first(fits, ({"gpus": n, **_STRATEGY_CHANGES["fsdp+teacher"]} for n in gpus))
    larger = [card for card in HARDWARE.values() if card.memory > cluster.hardware.memory]
    names = [card.name for card in sorted(larger, key=lambda card: card.memory)]
    yield from _first(fits, ({"gpu": name} for name in names))


def _first(fits: Callable[[Changes], bool], candidates: Iterator[Changes]) -> list[Changes]:
    """The first that fits, if any."""
    return [found] if (found := next(filter(fits, candidates), None)) else []


def _settings(*settings: str) -> Changes:
    return {"settings": settings}


def _parts(number: int) -> str:
    return f"training.accumulate={number}"


def _shrinking(batch: int) -> Iterator[int]:
    """Batches from an estimate, which is nearly right, down to two images."""
    while batch >= 2:
        yield batch
        batch = batch * 9 // 10


def _doubling(start: int, end: int) -> Iterator[int]:
    while start <= end:
        yield start
        start *= 2
