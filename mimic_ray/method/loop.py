"""The distillation: the loop itself, as one page. No files, no ray, no printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import TrainingError
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.adversary import UniversalAdversary
from mimic_ray.method.pairing import donor_count, donors_from, make_pair
from mimic_ray.method.ranks import Ranks
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.schedule import learning_rate
from mimic_ray.method.step import step_loss
from mimic_ray.method.student import Student, channels_last_where_it_pays
from mimic_ray.method.teacher import Answer, Recording, ask, view_keys

Row = dict[str, float]


class Images(Protocol):
    """Decoded images: `data.cache.Pixels`, or anything that gathers."""

    def __len__(self) -> int: ...
    def gather(self, indices: Tensor) -> Tensor: ...


class Distillation:
    """A run between two steps. `state()` after a step is all that `load()` needs to go on.

    `wrap` puts the trained module into DistributedDataParallel where there are several workers;
    `recording` holds the teacher's answers where they are known, and no teacher runs then.
    """

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        images: Images,
        recipe: Recipe,
        tap_weights: Mapping[str, float],
        compute: Compute,
        ranks: Ranks | None = None,
        wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
        recording: Recording | None = None,
    ) -> None:
        training = recipe.training
        device = compute.torch_device
        self.recipe, self.compute, self.images = recipe, compute, images
        self.ranks = ranks or Ranks()
        self.recording = recording
        self.tap_weights = dict(tap_weights) if recipe.loss.attention > 0 else {}
        self.plan = EpochPlan(len(images), training.batch, training.seed)
        self.side = student.spec.input_size
        self.step = 0

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
        self._trained = wrap(self.student)
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

    def run(self) -> Iterator[Row]:
        """One row of numbers a step, until the last; stop between two rows at will.

        Raises TrainingError at the first loss that is not finite, before the weights take it in.
        """
        while self.step < self.recipe.training.steps:
            yield self._take_step()

    def _take_step(self) -> Row:
        training, step = self.recipe.training, self.step
        indices = self.plan.share(step, self.ranks.rank, self.ranks.world)
        epoch = step // self.plan.steps_per_epoch
        keys = seeds.keys(training.seed, "step", epoch, indices).to(self.compute.device)
        pixels = self.images.gather(indices).to(self.compute.device, non_blocking=True)
        again = view_keys(self.recipe, epoch, indices).to(self.compute.device)
        pair = make_pair(pixels, keys, self._donors, self.recipe, self.side, again)
        if self.adversary:
            attacked, leaf, used = self.adversary.attach(pair.student, keys, step)
            pair = pair._replace(student=attacked)

        terms = step_loss(
            self._trained,
            self._answer(pair.teacher, epoch, indices),
            pair,
            self.tap_weights,
            self.recipe.loss,
            self.compute,
            self.ranks,
        )
        # Reading the numbers waits for the device; the step is long next to that.
        row = dict(zip(terms, self._read(list(terms.values())), strict=True))
        self._check_finite(row)

        rate = learning_rate(
            step, training.steps, training.learning_rate, training.schedule, training.warmup
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        terms["loss"].backward()
        self.optimiser.step()
        if self.adversary and leaf.grad is not None:
            self.adversary.improve(self.ranks.mean(leaf.grad), used)
        self.step += 1
        return {"step": self.step, "learning_rate": rate, **row}

    def _answer(self, views: Tensor, epoch: int, indices: Tensor) -> Answer:
        taps = list(self.tap_weights)
        if self.recording:
            return self.recording.read(epoch, indices, taps, self.compute.torch_device)
        return ask(self.teacher, views, taps, self.compute)

    def _read(self, scalars: list[Tensor]) -> list[float]:
        return self.ranks.mean(torch.stack(scalars).detach()).tolist()

    def _check_finite(self, row: Row) -> None:
        bad = [name for name, value in row.items() if value != value or abs(value) == float("inf")]
        if bad:
            raise TrainingError(
                f"The {bad[-1]} term is not finite at step {self.step + 1}; no update was made. "
                "Lower training.learning_rate, or check the teacher with `mimic-ray inspect`."
            )

    def state(self) -> dict[str, Any]:
        """Tensors and plain numbers only; copies nothing."""
        return {
            "step": self.step,
            "student": self.student.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "adversary": self.adversary.state() if self.adversary else None,
            "tap_weights": self.tap_weights,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`, which came from `state()` of the same recipe."""
        self.step = state["step"]
        self.student.load_state_dict(state["student"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.adversary:
            self.adversary.load(state["adversary"])
