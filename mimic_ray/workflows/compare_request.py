"""The arguments of a comparison, checked before any work and before heavy imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_ray.attacks.triggers.trigger_registry import split_settings
from mimic_ray.base.errors import DataError, UnknownNameError, UsageError, option
from mimic_ray.base.resources import Resources
from mimic_ray.base.text import count, near_names
from mimic_ray.base.user_code import is_user_code
from mimic_ray.defences.defence_registry import DEFENCES, declared_strengths
from mimic_ray.defences.stop_rule import BASELINE, Contest
from mimic_ray.evaluation.head_choice import OWN, is_head_file
from mimic_ray.execution.defence_run import NamedDefence
from mimic_ray.method.recipe import Recipe

DEFAULT_HEAD = "mlp"

# Of the clean images; fewer say little about a cosine, more take images from the defences.
LEAST_HELD_OUT, MOST_HELD_OUT = 32, 500


@dataclass(frozen=True)
class Labels:
    """What only the evaluation may know, after all strengths are chosen."""

    train: str
    test: str
    trigger: str | None = None
    target: str | None = None
    count_target: bool = False
    reference: str | None = None
    head: str | Path = DEFAULT_HEAD
    head_seeds: int = 3
    lasting: bool = True
    train_limit: int | None = None
    test_limit: int | None = None

    @property
    def head_from_file(self) -> bool:
        """Whether the head comes from a file and is not trained."""
        return self.head == OWN or is_head_file(self.head)


@dataclass(frozen=True)
class CompareRequest:
    """The arguments of `compare`, after their checks; an `encoder` of None is found in the file."""

    encoder: str | None
    teacher: str | Path
    data: str | Path
    defences: dict[str, NamedDefence]
    contest: Contest
    labels: Labels | None
    held_out: float
    resources: Resources | None
    device: str
    threads: int
    yes: bool
    command: str


def compare_request(
    encoder: str | None,
    teacher: str | Path,
    data: str | Path,
    *,
    defences: Sequence[str],
    train: str | None,
    test: str | None,
    trigger: str | None,
    target: str | None,
    count_target: bool,
    reference: str | None,
    seeds: int,
    head: str | Path,
    head_seeds: int,
    lasting: bool,
    stop_rule: bool,
    curves: bool,
    held_out: float,
    resources: Resources | None,
    train_limit: int | None,
    test_limit: int | None,
    device: str,
    threads: int,
    yes: bool,
    command: str,
) -> CompareRequest:
    """The arguments of `compare` (see there). Raises UsageError for what no input can make valid,
    and what `named_defences` raises."""
    check_labels(train, test, trigger, target, reference, count_target, head_seeds, head)
    check_placement(resources or Resources())
    check_share(held_out)
    named = named_defences(defences)
    labels = None
    if train and test:
        labels = Labels(
            train,
            test,
            trigger=trigger,
            target=target,
            count_target=count_target,
            reference=reference,
            head=head,
            head_seeds=head_seeds,
            lasting=lasting,
            train_limit=train_limit,
            test_limit=test_limit,
        )
    return CompareRequest(
        encoder=encoder,
        teacher=teacher,
        data=data,
        defences=named,
        contest=contest(named, seeds, stop_rule=stop_rule, curves=curves),
        labels=labels,
        held_out=held_out,
        resources=resources,
        device=device,
        threads=threads,
        yes=yes,
        command=command,
    )


def check_labels(
    train: str | None,
    test: str | None,
    trigger: str | None,
    target: str | None,
    reference: str | None,
    count_target: bool,
    head_seeds: int,
    head: str | Path = DEFAULT_HEAD,
) -> None:
    """Raises UsageError for labels, trigger, reference and head that do not go together."""
    if (train is None) != (test is None):
        raise UsageError(f"{option('train')} and {option('test')} must be given together.")
    if (trigger is None) != (target is None):
        raise UsageError(f"{option('trigger')} and {option('target')} must be given together.")
    other_head = None if head == DEFAULT_HEAD else head
    for name, value in (("trigger", trigger), ("reference", reference), ("head", other_head)):
        if value is not None and train is None:
            raise UsageError(f"{option(name)} needs {option('train')} and {option('test')}.")
    for name, given in (("reference", reference is not None), ("count_target", count_target)):
        if given and trigger is None:
            raise UsageError(f"{option(name)} needs {option('trigger')} and {option('target')}.")
    if head_seeds < 1:
        raise UsageError(f"{option('head_seeds', head_seeds)} must be at least 1.")


def check_placement(resources: Resources) -> None:
    """Raises UsageError for resources of a run with workers, which a defence does not have."""
    defaults = Resources()
    names = ("workers", "min_workers", "strategy", "teacher_placement", "max_failures")
    for name in names:
        value = getattr(resources, name)
        if value != getattr(defaults, name):
            raise UsageError(f"{option(name, value)} does not apply to a comparison: remove it.")


def named_defences(texts: Sequence[str]) -> dict[str, NamedDefence]:
    """Label -> defence; all built-in ones without any text, and `default` always first.

    A text is a name, or a name with settings: `nad:steps=100`. Raises UnknownNameError with the
    list of defences, UsageError for settings that a defence does not take or a name given twice.
    """
    found: dict[str, NamedDefence] = {}
    for text in texts or list(DEFENCES):
        if text in found:
            raise UsageError(f"{option('defences', text)} is given twice: remove one.")
        found[text] = _named(text)
    first = next((label for label in found if _name_of(label) == BASELINE), BASELINE)
    if first not in found:
        found[first] = _named(first)
    return {first: found[first], **found}


def contest(
    defences: dict[str, NamedDefence], seeds: int, *, stop_rule: bool = True, curves: bool = False
) -> Contest:
    """Who competes. Raises UsageError for no seed."""
    if seeds < 1:
        raise UsageError(f"{option('seeds', seeds)} must be at least 1.")
    strengths = {label: _strengths(label, named) for label, named in defences.items()}
    baseline = next(iter(defences))
    # It runs at its own settings anyway.
    own = defences[baseline].value_at(None)
    strengths[baseline] = tuple(value for value in strengths[baseline] if value != own)
    return Contest(baseline, strengths, tuple(range(seeds)), stop_rule=stop_rule, curves=curves)


def most_images(competition: Contest, defences: dict[str, NamedDefence], recipe: Recipe) -> int:
    """At most so many images are in the steps of all runs; `recipe` is that of `default`.

    Steps and batch are settings of almost every defence. A built-in one without steps trains
    nothing; a user's own counts as `default`, unless it declares them.
    """
    total = 0
    for label, named in defences.items():
        strongest = [named.at(value) for value in competition.strengths[label]] or [named.at(None)]
        seen = max(_step_images(named.name, settings, recipe) for settings in strongest)
        total += competition.most_of(label) * seen
    return total


def _step_images(defence: str, settings: Mapping[str, Any], recipe: Recipe) -> int:
    declared = [value for name, value in settings.items() if name.endswith("steps")]
    if not declared and not is_user_code(defence):
        return 0
    steps = sum(declared) * settings.get("rounds", 1)
    batch = settings.get("batch", 0)
    return int(steps or recipe.training.steps) * int(batch or recipe.training.batch)


def check_share(held_out: float) -> None:
    """Raises UsageError for a share outside 0..1."""
    if not 0 < held_out < 1:
        raise UsageError(f"{option('held_out', f'{held_out:g}')} must be between 0 and 1.")


def held_out_number(images: int, share: float, location: str) -> int:
    """How many of the clean images measure fidelity, between 32 and 500.

    Raises UsageError for a share outside 0..1, DataError for too few images.
    """
    check_share(share)
    number = min(max(round(share * images), LEAST_HELD_OUT), MOST_HELD_OUT)
    if images < number + LEAST_HELD_OUT:
        raise DataError(
            f"{location} has {count(images, 'image')}: the stop rule needs {number} that no "
            f"defence sees, and the defences at least {LEAST_HELD_OUT}. Give more images."
        )
    return number


def _named(text: str) -> NamedDefence:
    name, settings = split_settings(text, "defence")
    if not DEFENCES.takes(name):
        listed = f"There are {', '.join(DEFENCES)}, and your own as file.py:NAME."
        raise UnknownNameError("defence", name, near_names(name, DEFENCES), listed)
    resolved = DEFENCES.settings(name, settings)
    declared = declared_strengths(DEFENCES.member(name))
    if declared and declared.setting not in resolved:
        raise UsageError(
            f"Defence {name} declares the strength {declared.setting}, which is not one of its "
            f"settings ({', '.join(resolved) or 'it has none'})."
        )
    return NamedDefence(name, resolved, declared.setting if declared else "")


def _strengths(label: str, named: NamedDefence) -> tuple[float, ...]:
    """None where the user set the strength."""
    declared = declared_strengths(DEFENCES.member(named.name))
    if declared is None or declared.setting in split_settings(label, "defence")[1]:
        return ()
    return declared.values


def _name_of(label: str) -> str:
    return split_settings(label, "defence")[0]
