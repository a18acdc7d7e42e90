"""The rows of a comparison, from its runs and from the outcomes of its encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from mimic_ray.base.text import count
from mimic_ray.defences.stop_rule import Choice, Contest, DefenceRun
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.comparison_results import REFERENCE, SUSPECT, ComparisonRow
from mimic_ray.evaluation.feature_map import mapped_back
from mimic_ray.evaluation.outcomes import acc_over, asr_over
from mimic_ray.evaluation.results import Proportion
from mimic_ray.execution.defence_run import DefenceResult, NamedDefence
from mimic_ray.store.comparison_store import run_name
from mimic_ray.workflows.compare_runs import Results, cosines
from mimic_ray.workflows.evaluated_encoders import EvaluatedEncoder
from mimic_ray.workflows.judge_defences import DISTILLED, NOW, TUNED, Judge, Judged

# An outcome, the ending of its columns, and its name in a sentence.
_MEASURED = (
    (NOW, "", "ACC and ASR"),
    (DISTILLED, "_distilled", "ACC and ASR after distillation"),
    (TUNED, "_tuned", "ACC and ASR after fine-tuning"),
)


def blind_rows(
    contest: Contest, results: Results, defences: dict[str, NamedDefence]
) -> list[tuple[ComparisonRow, list[DefenceResult]]]:
    """A row for each defence (with curves for each strength) and its runs, without labels."""
    known = cosines(results)
    found = []
    for label in contest.strengths:
        choice = contest.choice(label, known)
        for strength in contest.points(label, known):
            units = [DefenceRun(label, strength, seed) for seed in contest.seeds]
            runs = [results[unit] for unit in units if unit in results]
            value = defences[label].value_at(strength)
            row = ComparisonRow(
                label,
                strength="" if value is None else f"{defences[label].strength_setting}={value:g}",
                value=value,
                chosen=choice is not None and choice.strength == strength,
                **_facts(runs),
            )
            if row.chosen and choice is not None:
                row = _with_choice(row, choice, contest, known)
            found.append((row, runs))
            if any(run.mapped_cosine is not None for run in runs):
                found.append((_mapped(row, runs), runs))
    return found


def judged_rows(
    judge: Judge,
    rows: Sequence[tuple[ComparisonRow, list[DefenceResult]]],
    reference: EvaluatedEncoder | None,
) -> list[ComparisonRow]:
    """The same rows with ACC and ASR, below those of the suspect encoder and of the reference.

    An encoder that cannot be measured has a row that says why.
    """
    lasting = judge.labels.lasting
    suspect = judge.blind.suspect_encoder
    after = (NOW, TUNED) if lasting else (NOW,)
    judged = judge.judged(SUSPECT, suspect, 0, after)
    floor: Proportion | None = None
    first = [_with_outcomes(ComparisonRow(SUSPECT, seeds=1), [judged])]
    if reference is not None:
        own = replace(judge, own_head=reference.own_head)
        measured = own.judged(REFERENCE, lambda: reference.encoder, 0, (NOW,))
        row = _with_outcomes(ComparisonRow(REFERENCE, seeds=1), [measured])
        floor = row.asr  # of an encoder that was never attacked it is the floor, not an ASR
        first.append(replace(row, asr=None))
    measured_rows = []
    for row, runs in rows:
        ended = [run for run in runs if not run.failure]
        wanted = (NOW, DISTILLED, TUNED) if lasting and row.chosen else (NOW,)
        found = []
        for run in ended:
            name = run_name(run.defence, run.strength, run.seed)
            load = _loader(judge, name, mapped=row.mapped)
            name += "/mapped" if row.mapped else ""
            found.append(judge.judged(name, load, run.seed, wanted))
        measured_rows.append(_with_outcomes(row, found) if found else row)
    return [replace(row, asr_b=floor) for row in (*first, *measured_rows)]


def _facts(runs: list[DefenceResult]) -> dict[str, Any]:
    ended = [run for run in runs if run.cosine is not None]
    failed = [run for run in runs if run.failure]
    facts: dict[str, Any] = {"seeds": len(ended)}
    if failed:
        which = f"{len(failed)} of {count(len(runs), 'seed')} failed: " if ended else "failed: "
        facts["failure"] = which + failed[0].failure
    if ended:
        facts["cosines"] = tuple(run.cosine for run in ended if run.cosine is not None)
        facts["cosine"] = fmean(facts["cosines"])
        facts["overlap"] = fmean(run.overlap or 0.0 for run in ended)
        facts["images_seen"] = fmean(run.images_seen for run in ended)
        facts["seconds"] = fmean(run.seconds for run in ended)
        facts["clock"] = ended[0].clock
        facts["notes"] = tuple(dict.fromkeys(note for run in ended for note in run.notes))
    return facts


def _with_choice(
    row: ComparisonRow, choice: Choice, contest: Contest, known: dict[DefenceRun, float | None]
) -> ComparisonRow:
    notes = row.notes
    if choice.reached is False and row.cosine is not None:
        several = len(contest.strengths[row.defence]) > 1
        which = "no strength reaches" if several else "it does not reach"
        shown = "; this is the weakest" if several else ""
        notes += (f"{which} the cosine of {contest.baseline}{shown}.",)
    seeds = [known.get(DefenceRun(contest.baseline, None, seed)) for seed in contest.seeds]
    of_baseline = [cosine for cosine in seeds if cosine is not None]
    if choice.reached and row.cosine is not None and row.cosine < fmean(of_baseline):
        notes += (f"its first seed reaches the cosine of {contest.baseline}, the mean does not.",)
    return replace(row, reached=choice.reached, notes=notes)


def _with_outcomes(row: ComparisonRow, found: list[Judged]) -> ComparisonRow:
    measured: dict[str, Any] = {}
    failures = [row.failure] if row.failure else []
    for name, suffix, when in _MEASURED:
        outcomes = [each.outcomes[name] for each in found if name in each.outcomes]
        if outcomes:
            measured[f"acc{suffix}"] = acc_over(outcomes)
            measured[f"asr{suffix}"] = asr_over(outcomes)
        failed = [each.failures[name] for each in found if name in each.failures]
        if failed:
            which = f"of {len(failed)} of {count(len(found), 'seed')} " if outcomes else ""
            failures.append(f"{when} {which}not measured: {failed[0]}")
    return replace(row, **measured, failure=" ".join(failures))


def _mapped(row: ComparisonRow, runs: list[DefenceResult]) -> ComparisonRow:
    """The row of the same encoders behind a linear map back to the suspect's features."""
    found = tuple(run.mapped_cosine for run in runs if run.mapped_cosine is not None)
    return replace(
        row,
        defence=f"{row.defence} mapped back",
        reached=None,
        cosine=fmean(found),
        cosines=found,
        overlap=fmean(run.mapped_overlap or 0.0 for run in runs if run.mapped_cosine is not None),
        notes=("the map is fitted on the clean images, without labels.",),
        mapped=True,
    )


def _loader(judge: Judge, run: str, *, mapped: bool) -> Callable[[], Encoder]:
    blind = judge.blind

    def load() -> Encoder:
        encoder = build(blind.architecture)
        encoder.net.load_state_dict(judge.store.read_weights(run))
        encoder = encoder.eval().requires_grad_(False)
        if not mapped:
            return encoder
        return mapped_back(encoder, blind.suspect_encoder(), blind.images, blind.compute)

    return load
