"""The objectives of a search: scores of a student, measured on clean held-out images.

An objective is an `Objective` in a file:

    def measure(student: StudentInputs) -> dict[str, float]:
        return {"sparsity": share_of_zeros(student.features)}

    SPARSITY = Objective("maximize", measure, "The share of zeros in the features.")

A new objective is one file and one line in the table below. The search then optimises it beside
the others; records, the front, the choice and the report contain it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from mimic_ray.base.progress import StepCallback
from mimic_ray.base.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from mimic_ray.base.devices import Compute
    from mimic_ray.base.effort import Effort
    from mimic_ray.data.decoded_images import DecodedImages
    from mimic_ray.encoders.encoder import Encoder


@dataclass(frozen=True)
class SearchInputs:
    """What an objective may compute from once for all trials.

    `held_out` are the images of all scores, at the encoder's input size. `trusted` are encoders of
    the same architecture without a backdoor; the first has random weights. `effort` is that of the
    search. `on_progress` gets how much is done, and of how much: a user waits, and may stop it.
    """

    teacher: Encoder
    trusted: Sequence[Encoder]
    held_out: DecodedImages
    compute: Compute
    seed: int
    effort: Effort = "full"
    on_progress: StepCallback = lambda done, total: None


@dataclass(frozen=True)
class StudentInputs:
    """What an objective may read of one student. `teacher_features` [M, D] are of `held_out`.

    `effort` is "quick" at the rungs of early stopping and in a quick search, "full" at the end.
    `prepared` is what `Objective.prepare` returned for this search.
    """

    encoder: Encoder
    held_out: DecodedImages
    teacher_features: Tensor
    compute: Compute
    seed: int
    effort: Effort
    prepared: Any = None

    @cached_property
    def features(self) -> Tensor:
        """float [M, D]: the student's features of the held-out images, of length 1."""
        from mimic_ray.evaluation.features import features

        return features(self.encoder, self.held_out, self.compute)

    @cached_property
    def pixels(self) -> Tensor:
        """uint8 [M, 3, S, S]: the held-out images."""
        import torch

        return self.held_out.gather(torch.arange(len(self.held_out)))


@dataclass(frozen=True)
class Objective:
    """One score that a search optimises.

    Attributes:
        direction: Whether larger or smaller values are better.
        measure: Returns the score under the objective's name, and its parts under names of their
            own. It must leave the encoder as it is.
        description: Sentences for the report; the first begins with a verb or noun, as in "The
            share of ...".
        tolerance: How much worse than the base recipe the chosen trial may be. None: the choice
            minimises or maximises this objective among the trials that the tolerances allow.
        stands_for: The measurement with a known trigger that this score should rank like.
        prepare: Computes plain, picklable data once for all trials.
    """

    direction: Literal["maximize", "minimize"]
    measure: Callable[[StudentInputs], Mapping[str, float]]
    description: str
    tolerance: float | None = None
    stands_for: Literal["acc", "asr"] | None = None
    prepare: Callable[[SearchInputs], Any] = lambda inputs: None

    @property
    def sign(self) -> int:
        """1 where larger is better, else -1: times a score, larger is better."""
        return 1 if self.direction == "maximize" else -1

    @property
    def better(self) -> str:
        """The word for a better score: "higher" or "lower"."""
        return "higher" if self.direction == "maximize" else "lower"


OBJECTIVES = Registry[Objective](
    "objective",
    {
        "fidelity": "mimic_ray.search.objectives.fidelity_objective:FIDELITY",
        "suspicion": "mimic_ray.search.objectives.suspicion_objective:SUSPICION",
    },
)


def objectives() -> dict[str, Objective]:
    """All objectives by name, in the order of the table."""
    return {name: OBJECTIVES.resolve(name) for name in OBJECTIVES}
