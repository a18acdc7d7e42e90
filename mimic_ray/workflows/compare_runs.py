"""The runs of a comparison: what they share, done one after another here or together on Ray.

Nothing in here takes a label, a trigger or a target class, so no strength can be chosen by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base import seeds, user_code
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import StoppedError, TrainingError, option
from mimic_ray.base.locations import absolute
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.text import count
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.defences.stop_rule import Contest, DefenceRun
from mimic_ray.distributed.defence_tasks import Placement, run_as_tasks
from mimic_ray.execution.defence_run import BlindInputs, DefenceResult, NamedDefence, run_unit
from mimic_ray.execution.shared_inputs import ArrayImages, array_or_placed
from mimic_ray.store.comparison_store import ComparisonStore, run_name
from mimic_ray.weight_files.load import Loaded

Results = dict[DefenceRun, DefenceResult]


def blind_inputs(
    loaded: Loaded,
    architecture: str,
    source: ImageSource,
    held_out: int,
    defences: Mapping[str, NamedDefence],
    compute: Compute,
    on_progress: ProgressCallback,
) -> BlindInputs:
    """Decodes the clean images and holds `held_out` of them out, the same for every comparison."""
    side = loaded.encoder.spec.input_size
    pixels = open_pixels(
        source, side, progress=lambda done, total: on_progress(Progress("decode", done, total))
    )
    order = torch.randperm(len(pixels), generator=seeds.generator(0, "held out of a comparison"))
    measured, used = order[:held_out].sort().values, order[held_out:].sort().values
    return BlindInputs(
        architecture=architecture,
        suspect={k: v.cpu().numpy() for k, v in loaded.encoder.net.state_dict().items()},
        images=array_or_placed(pixels, used, absolute(source.location)),
        held_out=ArrayImages(
            np.concatenate([pixels.gather(part).numpy() for part in measured.split(256)])
        ),
        defences=defences,
        compute=compute,
        code_folder=user_code.current_folder(),
    )


def stored_results(store: ComparisonStore, contest: Contest) -> Results:
    """The runs that ended in an earlier command."""
    found: Results = {}
    for defence, declared in contest.strengths.items():
        for strength in (None, *declared):
            for seed in contest.seeds:
                facts = store.read_run(run_name(defence, strength, seed))
                if facts is not None:
                    result = DefenceResult(**{**facts, "notes": tuple(facts["notes"])})
                    found[result.unit] = result
    return found


def cosines(results: Results) -> dict[DefenceRun, float | None]:
    """What the stop rule sees of each run."""
    return {unit: result.cosine for unit, result in results.items()}


def run_here(
    contest: Contest,
    inputs: BlindInputs,
    store: ComparisonStore,
    results: Results,
    on_progress: ProgressCallback,
    should_stop: Callable[[], int],
) -> Results:
    """Does the runs that are needed and not in `results`, one after another, and stores each.

    Raises StoppedError, TrainingError if `default` fails, DiskError and StorageError.
    """
    results = dict(results)
    while wanted := contest.wanted(cosines(results)):
        unit = wanted[0]
        words = f"{_words(inputs, unit)} ({len(results) + 1} of {contest.most()})"

        def on_step(done: int, total: int, words: str = words) -> None:
            if should_stop():
                raise stopped(len(results))
            on_progress(Progress(words, done, total))

        on_step(0, 1)
        result, encoder = run_unit(inputs, unit, on_step)
        if should_stop():
            raise stopped(len(results))
        _store(store, contest, result, encoder.net.state_dict() if encoder else {})
        results[unit] = result
    require_bound(contest, results)
    return results


def run_on_ray(
    contest: Contest,
    inputs: BlindInputs,
    store: ComparisonStore,
    results: Results,
    placement: Placement,
    on_progress: ProgressCallback,
    should_stop: Callable[[], int],
) -> Results:
    """The same as Ray tasks, as many at a time as fit. Raises ResourceError too."""
    results = dict(results)

    def on_end(result: DefenceResult, weights: Mapping[str, Tensor]) -> None:
        _store(store, contest, result, weights)
        results[result.unit] = result

    run_as_tasks(
        inputs,
        lambda: contest.wanted(cosines(results)),
        on_end,
        placement,
        contest.most(),
        on_progress,
        should_stop,
    )
    if should_stop():
        raise stopped(len(results))
    require_bound(contest, results)
    return results


def require_bound(contest: Contest, results: Results) -> None:
    """Raises TrainingError if the rule has no bound, because the baseline failed."""
    if contest.stop_rule and contest.bound(cosines(results)) is None:
        failed = results[DefenceRun(contest.baseline, None, contest.seeds[0])]
        raise TrainingError(
            f"{contest.baseline} failed, so the other defences have no bound: {failed.failure} "
            f"{option('resume', True)} runs it again; {option('stop_rule', False)} with a new "
            f"{option('out')} compares every defence with its own settings."
        )


def stopped(ended: int) -> StoppedError:
    """The error after Ctrl-C or SIGTERM."""
    return StoppedError(
        f"Stopped after {count(ended, 'run')}, which are kept: continue with the same command and "
        f"{option('resume', True)}."
    )


def _store(
    store: ComparisonStore, contest: Contest, result: DefenceResult, weights: Mapping[str, Tensor]
) -> None:
    """Keeps the result, unless a resumed comparison, with more memory for example, should run it
    again: its process died, or the comparison needs an encoder of it."""
    if result.died or (result.failure and contest.decides(result.unit)):
        return
    name = run_name(result.defence, result.strength, result.seed)
    store.write_run(name, asdict(result), weights)


def _words(inputs: BlindInputs, unit: DefenceRun) -> str:
    setting = inputs.defences[unit.defence].strength_setting
    strength = "" if unit.strength is None else f" {setting}={unit.strength:g}"
    return f"{unit.defence}{strength}, seed {unit.seed}"
