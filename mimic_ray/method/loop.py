"""The distillation: the loop itself, as one page. No files, no ray, no printing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import TrainingError
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.epoch import EpochPlan, share_bounds
from mimic_ray.data.prefetch import prefetch
from mimic_ray.encoders.blocks import checkpoint_activations
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.adversary import UniversalAdversary
from mimic_ray.method.async_metrics import Readings
from mimic_ray.method.compiled import compile_encoder, why_not
from mimic_ray.method.process_group import ProcessGroup
from mimic_ray.method.recipe import Recipe, check_workers
from mimic_ray.method.schedule import learning_rate, peak_rate
from mimic_ray.method.step import step_loss
from mimic_ray.method.strategy import Alone, Replicated, Strategy
from mimic_ray.method.student import Student, channels_last_where_it_pays
from mimic_ray.method.student_teacher_views import Pair, donor_count, donors_from, make_pair
from mimic_ray.method.synchronised_norm import synchronise
from mimic_ray.method.teacher import TeacherOutput, teacher_forward, view_keys
from mimic_ray.method.teacher_cache import TeacherCache
from mimic_ray.method.view_stream import ViewStream

Row = dict[str, float]

_PREFETCHED = 2  # batches gathered while one is trained on


class Distillation:
    """A run between two steps. `state()` after a step is all that `load()` needs to go on.

    `strategy` says how the student is laid out on its workers. With a `teacher_cache` the teacher
    does not run. Raises UsageError when there are too many workers for the batch.
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
    ) -> None:
        training = recipe.training
        device = compute.torch_device
        self.recipe, self.compute, self.images = recipe, compute, images
        self.group = group or ProcessGroup()
        self.strategy = strategy or (Replicated() if self.group.world_size > 1 else Alone())
        self.teacher_cache = teacher_cache
        self.tap_weights = dict(tap_weights) if recipe.loss.attention > 0 else {}
        self.plan = EpochPlan(len(images), training.batch, training.seed)
        self.side = student.spec.input_size
        self.step = 0
        self.notes: list[str] = []  # what the user should know of, a sentence each
        check_workers(recipe, self.group.world_size)

        with torch.random.fork_rng(devices=[]):
            # The projector is drawn from the run's seed, whatever was drawn before.
            torch.manual_seed(int(seeds.keys(training.seed, "projector")))
            self.student = Student(
                student,
                taps=list(self.tap_weights),
                projects=recipe.loss.contrastive > 0,
                repeat_statistics=recipe.views.repeat_statistics,
            ).to(device)
        self.student.requires_grad_(True).train()
        self.teacher = teacher.to(device).requires_grad_(False).eval()
        channels_last_where_it_pays(student)
        channels_last_where_it_pays(teacher)
        # From the inside out: norms, units that are compiled or checkpointed, then the workers.
        if training.sync_batch_norm and self.group.world_size > 1:
            synchronise(self.student)
        if training.compile:
            if reason := why_not():
                self.notes.append(reason)
            else:
                compile_encoder(student)
                compile_encoder(teacher)
        if training.checkpoint_activations:
            checkpoint_activations(student)
        self._trained = self.strategy.place(self.student, training.accumulate)
        self.strategy.place_teacher(self.teacher)
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
        count = donor_count(len(images), self.side)
        chosen = torch.arange(count) * len(images) // count
        self._donors = donors_from(images.gather(chosen).to(device), self.side)
        self._readings = Readings(device)
        self._view_stream = ViewStream(device)
        self._peak_rate = peak_rate(
            training.learning_rate, training.batch, training.scale_learning_rate
        )

    def run(self) -> Iterator[Row]:
        """One row of numbers a step, until the last; stop between two rows at will."""
        for rows in self.steps():
            yield from rows

    def steps(self) -> Iterator[list[Row]]:
        """After each step, the rows that have come since the one before.

        On a GPU a row comes while the next step runs; `settle()` waits for what is under way.
        Raises TrainingError at the first loss that is not finite, which no weight has taken in.
        """
        total = self.recipe.training.steps
        batches = prefetch(self._gather, range(self.step, total), ahead=_PREFETCHED)
        # Closed with the generator, so no thread remains however the loop ends.
        with closing(batches):
            for pixels in batches:
                self._take_step(pixels)
                over = self.step == total
                yield self._rows(leave=0 if over else self._readings.lag)

    def settle(self) -> list[Row]:
        """The rows of steps taken that nobody has had yet. Call it before `state()`."""
        return self._rows(leave=0)

    def _gather(self, step: int) -> Tensor:
        pixels = self.images.gather(self._share(step))
        # From pinned memory the copy to the device does not block the host.
        return pixels.pin_memory() if self.compute.torch_device.type == "cuda" else pixels

    def _share(self, step: int) -> Tensor:
        return self.plan.share(step, self.group.rank, self.group.world_size)

    def _take_step(self, pixels: Tensor) -> None:
        """One update from this worker's images of the step, uint8 [B, 3, P, P] on the host."""
        training, step = self.recipe.training, self.step
        share = self._share(step)
        parts = training.accumulate
        self.optimiser.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = {}
        ascents: list[Tensor] = []
        used: list[int] = []
        for part in range(parts):
            start, end = share_bounds(len(share), part, parts)
            more = part < parts - 1
            with self.strategy.local(self._trained) if more else nullcontext():
                found, ascent, used = self._backward(pixels[start:end], share[start:end])
            terms = {name: terms[name] + term if part else term for name, term in found.items()}
            ascents += [] if ascent is None else [ascent]
        numbers = self.group.mean(torch.stack(list(terms.values())))

        rate = learning_rate(
            step, training.steps, self._peak_rate, training.schedule, training.warmup
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # The device itself leaves the update out where a term is not finite: the host reads the
        # numbers later, and stops then.
        self.optimiser.found_inf = (~torch.isfinite(numbers).all()).float()  # type: ignore[attr-defined]
        self.optimiser.step()
        if self.adversary and ascents:
            self.adversary.improve(self.group.mean(torch.stack(ascents).sum(dim=0)), used)
        self.step += 1
        self._readings.put(self.step, rate, dict(zip(terms, numbers.unbind(), strict=True)))

    def _backward(
        self, pixels: Tensor, indices: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None, list[int]]:
        """Adds these images' part of the gradient: their part of the terms, and of the
        adversary's gradient with the slots it is for."""
        batch = self.recipe.training.batch
        epoch = self.step // self.plan.steps_per_epoch
        keys = seeds.keys(self.recipe.training.seed, "step", epoch, indices)
        pair = self._views(pixels, indices, keys, epoch)
        leaf, used = None, list[int]()
        if self.adversary:
            attacked, leaf, used = self.adversary.attach(pair.student, keys, self.step)
            pair = pair._replace(student=attacked)
        terms = step_loss(
            self._trained,
            self._teacher_output(pair.teacher, epoch, indices),
            pair,
            self.tap_weights,
            self.recipe.loss,
            self.compute,
            self.group,
            batch,
        )
        # So weighted, the mean over workers of the sum over parts is that of the global batch,
        # though shares may differ by an image.
        weight = len(indices) * self.group.world_size / batch
        (weight * terms["loss"]).backward()
        parts = {name: weight * term.detach() for name, term in terms.items()}
        return parts, None if leaf is None else leaf.grad, used

    def _views(self, pixels: Tensor, indices: Tensor, keys: Tensor, epoch: int) -> Pair:
        """What the networks see of these images; `keys` on the host."""
        device = self.compute.torch_device
        with self._view_stream.use() as hand_over:
            pixels = pixels.to(device, non_blocking=True)
            again = view_keys(self.recipe, epoch, indices).to(device)
            pair = make_pair(pixels, keys.to(device), self._donors, self.recipe, self.side, again)
            hand_over(*pair)
        return pair

    def _rows(self, leave: int) -> list[Row]:
        rows = list(self._readings.take(leave))
        for row in rows:
            self._check_finite(row)
        return rows

    def _teacher_output(self, views: Tensor, epoch: int, indices: Tensor) -> TeacherOutput:
        taps = list(self.tap_weights)
        if self.teacher_cache:
            return self.teacher_cache.read(epoch, indices, taps, self.compute.torch_device)
        return teacher_forward(self.teacher, views, taps, self.compute)

    def _check_finite(self, row: Row) -> None:
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if not bad:
            return
        if row["step"] == 1:  # no update has changed the student yet
            raise TrainingError(
                f"The {bad[-1]} loss is not finite at step 1: check the teacher with "
                "`mimic-ray inspect`."
            )
        raise TrainingError(
            f"Training diverged: the {bad[-1]} loss is not finite at step {row['step']:.0f} (no "
            "update was made). Use a lower training.learning_rate."
        )

    def _check_weights(self, student: Mapping[str, Any]) -> None:
        """The loss can stay finite while weights overflow: a normalisation layer hides them."""
        finite = [
            value.isfinite().all()
            for value in student.values()
            if isinstance(value, Tensor) and value.is_floating_point()
        ]
        if not torch.stack(finite).all():
            raise TrainingError(
                f"Training diverged: the student's weights are not finite after step {self.step}. "
                "Use a lower training.learning_rate."
            )

    def state(self) -> dict[str, Any]:
        """Tensors and plain numbers only; copies nothing that is not in parts.

        All workers must call it, and rank 0's is the one to keep. Rows come first: `settle()`.
        Raises TrainingError if weights are not finite, so that no such state is kept.
        """
        assert len(self._readings) == 0  # an update may have been left out
        student = _each(self.strategy.whole, self.student.state_dict())
        self._check_weights(student)
        optimiser = self.optimiser.state_dict()
        return {
            "step": self.step,
            "student": student,
            "optimiser": {
                **optimiser,
                "state": {
                    number: _each(self.strategy.whole, kept)
                    for number, kept in optimiser["state"].items()
                },
            },
            "adversary": self.adversary.state() if self.adversary else None,
            "tap_weights": self.tap_weights,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`, which came from `state()` of the same recipe, of any number of
        workers and strategy."""
        self.step = state["step"]
        part, own = self.strategy.part, self.student.state_dict()
        self.student.load_state_dict(
            {name: part(value, own.get(name, value)) for name, value in state["student"].items()}
        )
        parameters, optimiser = list(self.student.parameters()), state["optimiser"]
        kept = {
            number: _each(partial(part, like=parameters[number]), moments)
            for number, moments in optimiser["state"].items()
        }
        self.optimiser.load_state_dict({**optimiser, "state": kept})
        if self.adversary:
            self.adversary.load(state["adversary"])


def _each(change: Callable[[Tensor], Tensor], values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: change(v) if isinstance(v, Tensor) else v for k, v in values.items()}
