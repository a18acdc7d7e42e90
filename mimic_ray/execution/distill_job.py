"""What a worker gets and what it returns. Both are pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mimic_ray.method.recipe import Recipe


@dataclass(frozen=True)
class DistillJob:
    """One distillation: the inputs of each of its workers.

    Attributes:
        run: Location of the run.
        encoder: Name of the architecture.
        data: Location of the images; not used with `Precomputed`.
        recipe: Complete recipe.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads of a worker; 0 uses all.
        commit_every: Steps between two checkpoints; 0 lets their measured cost decide.
        strategy: How several workers share the student, see base/resources.py.
        teacher_placement: With fsdp, whether they share the teacher too.
        code_folder: Where relative paths of the user's own files start; "" is the working folder.
        lease: Token of the command that may write to the run; "" writes without a check.
    """

    run: str
    encoder: str
    data: str
    recipe: Recipe
    device: str = "auto"
    threads: int = 0
    commit_every: int = 0
    strategy: str = "ddp"
    teacher_placement: str = "replicated"
    code_folder: str = ""
    lease: str = ""


@dataclass(frozen=True)
class Outcome:
    """How training ended. Weights and metrics are in the run."""

    finished: bool
    step: int
    images: int
    broken: list[tuple[str, str]]
    seconds: float
    images_per_s: float
    compute: Mapping[str, Any]
    profile: Mapping[str, Any]
    workers: int = 1
    notes: list[str] = field(default_factory=list)  # for the user
