"""The arguments of a search, and the checks that read no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mimic_ray.base.argument_types import check_fields
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.resources import Resources, this_machine, trial_slots
from mimic_ray.base.text import plain
from mimic_ray.base.user_code import is_user_code
from mimic_ray.method.losses.loss_registry import LOSSES
from mimic_ray.method.mi_profile import SELECTION
from mimic_ray.method.recipe import Recipe, parse_recipe, user_members
from mimic_ray.method.recipe_keys import split_key, whole_key
from mimic_ray.report.trackers import check_trackers
from mimic_ray.search.kept_layers import distinct_thresholds
from mimic_ray.search.space import (
    Dimension,
    Space,
    changed,
    check_space,
    default_space,
    parse_dimension,
)
from mimic_ray.store.recipe_file import load_search

# The number of trials, unless the user gives one.
TRIALS: dict[Effort, int] = {"quick": 8, "full": 16}
# Repeated views, so that one cache of the teacher's outputs serves all trials.
_FIXED_VIEWS = 4


@dataclass(frozen=True)
class Oracle:
    """Labels and the trigger, which a defender does not have: `tune` then measures ACC and ASR too.

    Attributes:
        train: Labelled images to train heads on.
        test: Labelled images to test heads on.
        trigger: A trigger's name, or an npz file, as for `evaluate`.
        target: Target class: name or index.

    Example:
        oracle = mimic_ray.Oracle("train", "test", trigger="patch", target="truck")
    """

    train: str
    test: str
    trigger: str
    target: str

    def __post_init__(self) -> None:
        check_fields(self)

    def described(self) -> dict[str, str]:
        return dict(vars(self))


@dataclass(frozen=True)
class SearchRequest:
    """The arguments of `tune` (see there) that describe the search itself."""

    encoder: str
    teacher: str
    data: str
    recipe: str | Path | Recipe = "auto"
    settings: Sequence[str] = ()
    search: Sequence[str] = ()
    only_these: bool = False
    effort: Effort = "full"
    trials: int = 16
    held_out: float = 0.2
    seed: int = 0
    resources: Resources = field(default_factory=Resources)
    early_stopping: bool = True
    failed_share: float = 0.25
    trusted: Sequence[str | Path] = ()
    oracle: Oracle | None = None
    trackers: Sequence[str] = ()
    device: str = "auto"
    threads: int = 0
    worker_memory: int = 0  # estimated bytes of a worker on the CPU
    code_folder: str = ""  # the folder of relative paths of the user's Python files

    @property
    def trial_threads(self) -> int:
        """CPU threads of a worker."""
        return self.threads or self.resources.cpus_per_worker or 1

    def check(self) -> None:
        """Raises UsageError, or ResourceError if this machine is too small for a trial."""
        if self.trials < 1:
            raise UsageError(f"{option('trials', self.trials)} must be at least 1.")
        if not 0 <= self.failed_share <= 1:
            raise UsageError(
                f"{option('failed_share', f'{self.failed_share:g}')} must be between 0 and 1."
            )
        check_trackers(self.trackers)
        _refuse_settings_of_runs(self.resources)
        if self.resources.address is None:
            # Checked before Ray starts, which takes seconds.
            here = [this_machine()]
            trial_slots(here, self.resources.for_trials(here))


@dataclass(frozen=True)
class SearchSpec:
    """The base recipe and the searched keys."""

    base: Recipe
    dimensions: Sequence[Dimension]
    pinned: Sequence[str]
    only_these: bool

    def space(self, shares: Sequence[float] | None) -> Space:
        """The validated search space. The sets of kept layers depend on the `shares` of the
        profile; None if they are not known yet."""
        thresholds = distinct_thresholds(shares) if shares else [0.0]
        default = Space(()) if self.only_these else default_space(self.base, thresholds)
        space = changed(default, self.dimensions, self.pinned)
        check_space(space, self.base.model_dump(mode="json"))
        return space

    def user_members(self) -> list[str]:
        """All `file.py:name` of the recipe and the searched keys."""
        searched = [part for d in self.dimensions for part in split_key(d.key)]
        choices = [str(choice) for d in self.dimensions for choice in d.choices]
        named = [*user_members(self.base), *searched, *choices]
        return [name for name in dict.fromkeys(named) if is_user_code(name)]

    def may_read_taps(self) -> bool:
        """Whether a trial may have a loss term that reads taps, such as attention."""
        searched = [split_key(key) for key in self.space(None).described()]
        terms = {key[1] for key in searched if key[0] == "loss" and key[2] == "weight"}
        return any(
            LOSSES.resolve(name, table.own).uses_taps
            for name, table in self.base.loss.root.items()
            if table.weight > 0 or name in terms
        )

    def has_own_profiles(self) -> bool:
        """Whether the settings of the mutual information estimate differ between trials."""
        keys = [split_key(dimension.key) for dimension in self.dimensions]
        return any(
            key[0] == "estimators" or (key[0] == "mutual_information" and key[1] not in SELECTION)
            for key in keys
        )


def search_spec(request: SearchRequest) -> SearchSpec:
    """The recipe and the searched keys of a request.

    Raises RecipeError, UsageError or UnknownNameError. Reads no file except the recipe.
    """
    base, in_file = load_search(request.recipe, request.settings, request.encoder, request.effort)
    pinned = [whole_key(setting.partition("=")[0].strip()) for setting in request.settings]
    entries = {**in_file, **dict(map(_entry, request.search))}
    dimensions = [parse_dimension(key, text) for key, text in entries.items()]
    if base.views.asymmetric and not base.views.fixed and "views.fixed" not in pinned:
        content = base.model_dump(mode="json")
        content["views"]["fixed"] = _FIXED_VIEWS
        base = parse_recipe(content)
    spec = SearchSpec(base, dimensions, pinned, request.only_these)
    spec.space(None)
    return spec


def _entry(text: str) -> tuple[str, str]:
    key, equals, values = text.partition("=")
    if not equals or not key.strip():
        value = option("search", f'"{plain(text)}"')
        raise UsageError(
            f"Invalid {value}: expected KEY=VALUES, for example "
            "training.learning_rate=loguniform(1e-4,1e-2)."
        )
    return key.strip(), values


def _refuse_settings_of_runs(resources: Resources) -> None:
    """Trials have a fixed number of workers, each with a copy of student and teacher."""
    defaults = Resources()
    for name in ("min_workers", "local", "ray", "strategy", "teacher_placement", "max_failures"):
        value = getattr(resources, name)
        if value != getattr(defaults, name):
            raise UsageError(f"{option(name, value)} does not apply to a search: remove it.")
