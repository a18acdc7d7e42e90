"""The distillation loop on one page, in the order of the mathematics. No files, Ray or printing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.epoch import share_bounds
from mimic_ray.data.prefetch import prefetch
from mimic_ray.data.shard_plan import by_shard_note, expect_shards, plan_for
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.adversary import UniversalAdversary
from mimic_ray.method.async_metrics import AsyncMetrics
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.divergence import check_row, check_weights
from mimic_ray.method.found_changes import FoundChanges
from mimic_ray.method.losses.weighted_terms import (
    WeightedTerm,
    uses_second_view,
    uses_taps,
    weighted_terms,
)
from mimic_ray.method.networks import prepare_networks
from mimic_ray.method.recipe import Recipe, check_recipe
from mimic_ray.method.schedule import learning_rate, peak_rate
from mimic_ray.method.step import step_loss
from mimic_ray.method.strategy import Replicated, SingleWorker, Strategy
from mimic_ray.method.student_teacher_views import (
    Pair,
    PairMaker,
    choose_donors,
    drawn_perturbations,
)
from mimic_ray.method.teacher import teacher_forward, view_keys
from mimic_ray.method.teacher_cache import TeacherCache
from mimic_ray.method.teacher_output import TeacherOutput
from mimic_ray.method.view_stream import ViewStream

Row = dict[str, float]

_PREFETCHED = 2  # batches gathered while one is trained on


class Distillation:
    """A run between two steps. `state()` after a step is all that `load()` needs to continue it.

    `tap_weights` are those of the profile. `strategy` says how the student is laid out on its
    workers. With a `teacher_cache` the teacher does not run. `openings` are what a scan found, for
    a recipe that uses them; without them the student gets none. Raises UsageError when there are
    too many workers for the batch, or no term of the loss is left without a kept tap.
    """

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        images: DecodedImages,
        recipe: Recipe,
        tap_weights: Mapping[str, float],
        compute: Compute,
        group: ProcessGroup | None = None,
        strategy: Strategy | None = None,
        teacher_cache: TeacherCache | None = None,
        openings: FoundChanges | None = None,
    ) -> None:
        training, device = recipe.training, compute.torch_device
        self.recipe, self.compute, self.images = recipe, compute, images
        self.group = group or ProcessGroup()
        self.strategy = strategy or (Replicated() if self.group.world_size > 1 else SingleWorker())
        self.teacher_cache = teacher_cache
        self.step = 0
        self.waited_s = 0.0  # for the images of the steps taken in this process
        check_recipe(recipe, self.group.world_size)
        self.terms = _computable(weighted_terms(recipe.loss), tap_weights)
        self.tap_weights = dict(tap_weights) if uses_taps(self.terms.values()) else {}
        self.plan = plan_for(images, training.batch, training.seed, self.group.any)
        self.side = student.spec.input_size
        self.pairs = PairMaker(
            recipe,
            self.side,
            choose_donors(images, self.side, device),
            drawn_perturbations(recipe, openings.to(device) if openings else None),
            uses_second_view(self.terms.values()),
        )
        networks = prepare_networks(
            student,
            teacher,
            recipe,
            list(self.tap_weights),
            self.pairs.second_view,
            compute,
            self.group,
            self.strategy,
        )
        self.student, self.teacher = networks.student, networks.teacher
        self.notes = networks.notes + by_shard_note(self.plan, self.group.world_size)
        self._forward = networks.forward
        self.optimiser = torch.optim.Adam(
            self.student.parameters(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.adversary = (
            UniversalAdversary(recipe.adversary, self.side, training.seed, device)
            if recipe.adversary.active
            else None
        )
        self._metrics = AsyncMetrics(device)
        self._view_stream = ViewStream(device)
        self._peak_rate = peak_rate(
            training.learning_rate, training.batch, training.scale_learning_rate
        )

    def run(self) -> Iterator[Row]:
        """One row of numbers for each step; stop between two rows at any time."""
        for rows in self.steps():
            yield from rows

    def steps(self) -> Iterator[list[Row]]:
        """After each step, the rows that arrived since the last one.

        On a GPU a row arrives while the next step runs; `settle()` waits for the pending ones.
        Raises DivergedError at the first loss that is not finite, before any weight changes by it.
        """
        total = self.recipe.training.steps
        batches = prefetch(self._gather, range(self.step, total), ahead=_PREFETCHED)
        # Closed with the generator, so no thread remains however the loop ends.
        with closing(batches):
            while True:
                asked = time.monotonic()
                pixels = next(batches, None)
                if pixels is None:
                    return
                self.waited_s += time.monotonic() - asked
                self._take_step(pixels)
                last = self.step == total
                yield self._rows(keep=0 if last else self._metrics.lag)

    def settle(self) -> list[Row]:
        """The rows of all steps taken that were not returned yet. Call it before `state()`."""
        return self._rows(keep=0)

    def _take_step(self, pixels: Tensor) -> None:
        """One update from this worker's images of the step, uint8 [B, 3, P, P] on the host."""
        training, step, parts = self.recipe.training, self.step, self.recipe.training.accumulate
        indices = self._share(step)
        self.optimiser.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = {}
        ascents: list[Tensor] = []
        used: list[int] = []
        for part in range(parts):
            start, end = share_bounds(len(indices), part, parts)
            last = part == parts - 1
            with nullcontext() if last else self.strategy.without_sync(self._forward):
                found, ascent, used = self._backward(pixels[start:end], indices[start:end])
            terms = {name: terms[name] + term if part else term for name, term in found.items()}
            ascents += [] if ascent is None else [ascent]
        scalars = self.group.mean(torch.stack(list(terms.values())))

        rate = learning_rate(
            step, training.steps, self._peak_rate, training.schedule, training.warmup
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # The device itself skips the update where a term is not finite: the host reads the scalars
        # later, and stops then.
        self.optimiser.found_inf = (~torch.isfinite(scalars).all()).float()  # type: ignore[attr-defined]
        self.optimiser.step()
        if self.adversary and ascents:
            self.adversary.improve(self.group.mean(torch.stack(ascents).sum(dim=0)), used)
        self.step += 1
        self._metrics.put(self.step, rate, dict(zip(terms, scalars.unbind(), strict=True)))

    def _backward(
        self, pixels: Tensor, indices: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None, list[int]]:
        """Adds the gradient of these images.

        Returns their part of the terms, and of the adversary's gradient with the slots it is for.
        """
        batch = self.recipe.training.batch
        epoch = self.step // self.plan.steps_per_epoch
        keys = seeds.keys(self.recipe.training.seed, "step", epoch, indices)
        pair = self._views(pixels, indices, keys, epoch)
        leaf, used = None, list[int]()
        if self.adversary:
            attacked, leaf, used = self.adversary.attach(pair.student, keys, self.step)
            pair = pair._replace(student=attacked)
        values = step_loss(
            self._forward,
            self._teacher_output(pair.teacher, epoch, indices),
            pair,
            self.tap_weights,
            self.terms,
            self.compute,
            self.group,
            batch,
        )
        # With this weight, the mean over workers of the sum over parts is that of the global batch,
        # although shares may differ by an image.
        weight = len(indices) * self.group.world_size / batch
        (weight * values["loss"]).backward()
        terms = {name: weight * value.detach() for name, value in values.items()}
        return terms, None if leaf is None else leaf.grad, used

    def _gather(self, step: int) -> Tensor:
        expect_shards(self.plan, self.images, step, self.group.rank, self.group.world_size)
        pixels = self.images.gather(self._share(step))
        # From pinned memory the copy to the device does not block the host.
        return pixels.pin_memory() if self.compute.torch_device.type == "cuda" else pixels

    def _share(self, step: int) -> Tensor:
        return self.plan.share(step, self.group.rank, self.group.world_size)

    def _views(self, pixels: Tensor, indices: Tensor, keys: Tensor, epoch: int) -> Pair:
        """What the networks see of these images; `keys` on the host."""
        device = self.compute.torch_device
        with self._view_stream.use() as hand_over:
            pixels = pixels.to(device, non_blocking=True)
            plain_keys = view_keys(self.recipe, epoch, indices).to(device)
            pair = self.pairs.make(pixels, keys.to(device), plain_keys)
            hand_over(*pair)
        return pair

    def _teacher_output(self, views: Tensor, epoch: int, indices: Tensor) -> TeacherOutput:
        taps = list(self.tap_weights)
        if self.teacher_cache:
            return self.teacher_cache.read(epoch, indices, taps, self.compute.torch_device)
        return teacher_forward(self.teacher, views, taps, self.compute)

    def _rows(self, keep: int) -> list[Row]:
        rows = list(self._metrics.take(keep))
        for row in rows:
            check_row(row)
        return rows

    def state(self) -> dict[str, Any]:
        """Tensors and plain numbers only; copies nothing that is not sharded.

        Every worker must call it, after `settle()`; rank 0 keeps the result. Raises DivergedError
        if weights are not finite, so that no such state is kept.
        """
        assert len(self._metrics) == 0  # the device may have skipped an update
        student = _each(self.strategy.full_tensor, self.student.state_dict())
        check_weights(student, self.step)
        optimiser = self.optimiser.state_dict()
        return {
            "step": self.step,
            "student": student,
            "optimiser": {
                **optimiser,
                "state": {
                    number: _each(self.strategy.full_tensor, moments)
                    for number, moments in optimiser["state"].items()
                },
            },
            "adversary": self.adversary.state() if self.adversary else None,
            "tap_weights": self.tap_weights,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continues from a `state()` of the same recipe, with any number of workers."""
        self.step = state["step"]
        part, own = self.strategy.local_part, self.student.state_dict()
        self.student.load_state_dict(
            {name: part(value, own.get(name, value)) for name, value in state["student"].items()}
        )
        parameters, optimiser = list(self.student.parameters()), state["optimiser"]
        moments = {
            number: _each(partial(part, like=parameters[number]), whole)
            for number, whole in optimiser["state"].items()
        }
        self.optimiser.load_state_dict({**optimiser, "state": moments})
        if self.adversary:
            self.adversary.load(state["adversary"])


def _computable(
    terms: Mapping[str, WeightedTerm], tap_weights: Mapping[str, float]
) -> dict[str, WeightedTerm]:
    """Without a kept tap, the terms that need none."""
    kept = {n: term for n, term in terms.items() if tap_weights or not term.compute.uses_taps}
    if not kept:
        raise UsageError(
            f"The loss has only terms that read taps ({', '.join(terms)}), and no tap is kept: "
            "lower mutual_information.threshold."
        )
    return kept


def _each(change: Callable[[Tensor], Tensor], values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: change(v) if isinstance(v, Tensor) else v for k, v in values.items()}
