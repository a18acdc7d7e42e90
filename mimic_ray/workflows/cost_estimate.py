"""The cost of a command on this machine, estimated before it starts from a few timed steps.

A run's own time follows from the images that pass through its networks: in training steps, and in
forward passes alone (profile, teacher outputs, scores). Reading and decoding images, critics of
trained estimators and the start of Ray are not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import ceil

import torch

from mimic_ray.base import devices
from mimic_ray.base.effort import Effort
from mimic_ray.base.machine_limits import machine_load
from mimic_ray.base.machine_memory import machine_memory_bytes, resident_bytes
from mimic_ray.base.resources import Resources, this_machine, trial_slots
from mimic_ray.defences.stop_rule import Contest
from mimic_ray.evaluation.suspicion.suspicion import suspicion_forwards, trusted_forwards
from mimic_ray.execution.setup import cached_side, teacher_cache_pays
from mimic_ray.execution.shared_inputs import MOST_HELD_OUT
from mimic_ray.execution.step_probe import forward_s, probe
from mimic_ray.method.losses.weighted_terms import reads_taps
from mimic_ray.method.recipe import Recipe
from mimic_ray.planning.run_cost import Cost, CostCallback, CostPart, report_cost
from mimic_ray.planning.worker_memory import PROCESS_BYTES
from mimic_ray.workflows.compare_request import Labels
from mimic_ray.workflows.evaluation_cost import LabelledSize, evaluation_work, head_s
from mimic_ray.workflows.purify_request import PurifyRequest, resolved_recipe
from mimic_ray.workflows.run_forwards import run_forwards, searched
from mimic_ray.workflows.search_request import TRIALS, SearchRequest, SearchSpec, search_spec

# Measured on Linux with torch 2.10 and Ray 2.60: all of Ray's own processes.
_RAY_BYTES = 1.5e9
# 2,000 images of 32 pixels, 40 of 224.
_SHORT_PIXELS = 2000 * 32**2
# Decoded images up to this size are kept in memory by a single worker (see distill_job.py).
_IMAGES_IN_MEMORY = 4 << 30


class CostEstimate:
    """Times the steps of `recipe` once; costs of other settings follow from the same pace.

    `threads` are those of one worker, `shared_threads` those of the preparation of a search.
    """

    def __init__(
        self, encoder: str, recipe: Recipe, device: str, threads: int, shared_threads: int = 0
    ) -> None:
        with _threads_kept():
            self.compute = devices.choose(device, recipe.training.precision, threads)
            self.pace = probe(encoder, recipe, self.compute)
            self._shared_forward_s = self.pace.forward_s
            if shared_threads and not self._on_gpu:
                torch.set_num_threads(shared_threads)
                self._shared_forward_s = forward_s(encoder, self.compute)
        self._spec = self.pace.spec

    def purification(
        self, recipe: Recipe, images: int, resources: Resources, scan: bool | None = None
    ) -> Cost:
        """Of `purify` with `resources`, without a cluster; `scan` as given there."""
        training, workers = recipe.training, resources.workers
        profiled, checked = run_forwards(recipe, images, self._spec.input_size, scan)
        recorded = self._recorded(recipe, images, 1) if workers == 1 else 0
        step_s = self.pace.step_s - (self.pace.forward_s if recorded else 0.0)
        forwards_s = profiled * self.pace.forward_fp32_s + (
            (recorded + checked) * self.pace.forward_s
        )
        seen = training.steps * training.batch
        memory: float = resident_bytes() + workers * self._run_bytes(recipe, workers)
        memory += min(self._pixels(recipe, images), _IMAGES_IN_MEMORY)
        if not resources.in_process:
            memory += workers * PROCESS_BYTES + _RAY_BYTES
        return self._cost(
            CostPart("training", seen, seen * step_s / workers),
            CostPart("profile and checks", profiled + recorded + checked, forwards_s),
            memory=memory,
            at_once=workers,
        )

    def search(self, request: SearchRequest, spec: SearchSpec, images: int) -> Cost:
        """Of `tune` on this machine."""
        base, effort = spec.base, request.effort
        held_out = min(round(request.held_out * images), MOST_HELD_OUT)
        used = max(images - held_out, 0)
        here = [this_machine()]
        resources = request.resources.for_trials(here, request.worker_memory)
        at_once = min(trial_slots(here, resources), request.trials)
        recorded = self._recorded(base, used, request.trials)
        shared = 2 * min(base.mutual_information.images, used) + recorded + held_out
        shared += trusted_forwards(1 + len(request.trusted), effort) + searched(base, used)
        seen, scored = self._trial_images(request, base, held_out, effort)
        step_s = self.pace.step_s - (self.pace.forward_s if recorded else 0.0)
        trial_s = seen * step_s / request.resources.workers + scored * self.pace.forward_s
        memory = resident_bytes() + _RAY_BYTES + 2 * self._pixels(base, images)
        memory += at_once * (PROCESS_BYTES + self._run_bytes(base, 1))
        return self._cost(
            CostPart("preparation", shared, shared * self._shared_forward_s),
            CostPart(
                "trials",
                request.trials * (seen + scored),
                ceil(request.trials / at_once) * trial_s,
            ),
            memory=memory,
            at_once=at_once,
            at_most=request.early_stopping,
        )

    def comparison(
        self,
        recipe: Recipe,
        contest: Contest,
        seen: int,
        images: int,
        labels: Labels | None = None,
        size: LabelledSize | None = None,
    ) -> Cost:
        """Of the runs, which see at most `seen` images in all, one after another, and with `labels`
        also of the evaluation.

        All steps are taken to cost as much as those of `recipe`, the default one.
        """
        memory: float = resident_bytes() + self._run_bytes(recipe, 1)
        memory += self._pixels(recipe, images)
        parts = [CostPart(f"at most {contest.most()} runs", seen, seen * self.pace.step_s)]
        if labels and size:
            work = evaluation_work(contest, labels, size, images)
            seconds = work.passed * self.pace.forward_s + work.stepped * self.pace.step_s
            if work.heads:
                seconds += work.heads * head_s(str(labels.head), self._spec.feature_width, size)
            parts.append(CostPart("evaluation", work.passed + work.stepped, seconds))
            labelled = 3 * (size.train + size.test) * self._spec.input_size**2
            memory += min(labelled, 2 * _IMAGES_IN_MEMORY)
        return self._cost(*parts, memory=memory, at_once=1, at_most=True)

    def _cost(self, *parts: CostPart, memory: float, at_once: int, at_most: bool = False) -> Cost:
        have = machine_memory_bytes()
        if self._on_gpu:
            memory, have = memory - resident_bytes(), torch.cuda.mem_get_info()[1]
        cores = 0 if self._on_gpu else at_once * self.compute.threads
        load, machine_cores = machine_load()
        return Cost(parts, memory, have, cores, self.pace.probe_s, at_most, load, machine_cores)

    @property
    def _on_gpu(self) -> bool:
        return self.compute.device.startswith("cuda")

    def _recorded(self, recipe: Recipe, images: int, runs: int) -> int:
        """Fixed views whose teacher outputs are computed once; 0 if the teacher runs in steps."""
        taps = len(self._spec.taps) if reads_taps(recipe.loss) else 0
        pays = teacher_cache_pays(self._spec, images, recipe, taps, runs)
        return recipe.views.fixed * images if pays else 0

    def _trial_images(
        self, request: SearchRequest, base: Recipe, held_out: int, effort: Effort
    ) -> tuple[int, int]:
        """Images in the steps of a trial that runs to its end, and in its scores."""
        scored = suspicion_forwards(effort) + held_out
        if request.early_stopping:
            scored += 2 * (suspicion_forwards("quick") + held_out)
        return base.training.steps * base.training.batch, scored

    def _run_bytes(self, recipe: Recipe, workers: int) -> float:
        """State and activations of one worker."""
        part = ceil(recipe.training.batch / workers / recipe.training.accumulate)
        return self.pace.state_bytes + part * self.pace.activation_bytes

    def _pixels(self, recipe: Recipe, images: int) -> int:
        return 3 * images * cached_side(recipe, self._spec.input_size) ** 2


def is_short(recipe: Recipe, side: int) -> bool:
    """Whether a run sees so few pixels that timing its steps would take as long."""
    return recipe.training.steps * recipe.training.batch * side**2 < _SHORT_PIXELS


def report_run_cost(
    request: PurifyRequest, recipe: Recipe, images: int, on_cost: CostCallback
) -> Cost:
    """The cost of a purification that is placed. Raises UsageError if it is too large."""
    estimate = CostEstimate(request.encoder, recipe, request.device, request.threads)

    def of(recipe: Recipe) -> Cost:
        return estimate.purification(recipe, images, request.resources, request.scan)

    def quick_cost() -> Cost:
        return of(resolved_recipe(replace(request, effort="quick")))

    cost = of(recipe)
    report_cost(cost, quick_cost, on_cost, request.yes)
    return cost


def report_search_cost(
    request: SearchRequest, spec: SearchSpec, images: int, on_cost: CostCallback, yes: bool
) -> Cost:
    """The cost of a search. Raises UsageError if it is too large without `yes`."""
    shared_threads = request.threads or torch.get_num_threads()
    estimate = CostEstimate(
        request.encoder, spec.base, request.device, request.trial_threads, shared_threads
    )
    cost = estimate.search(request, spec, images)

    def quick_cost() -> Cost:
        trials = min(request.trials, TRIALS["quick"])
        quick = replace(request, effort="quick", trials=trials)
        return estimate.search(quick, search_spec(quick), images)

    report_cost(cost, quick_cost, on_cost, yes)
    return cost


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Restores the number of threads, which decides the last bits of a result."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
