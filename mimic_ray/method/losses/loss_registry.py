"""The terms of the training loss. A new built-in one is one file and one line in the table below.

A term is a callable that takes `LossInputs` and returns a scalar; the step adds up the terms that
have a weight in the recipe. It is a frozen dataclass, whose fields are its settings, or a function,
whose keyword-only parameters are its settings; they stand beside the weight in the recipe, for
example `loss.contrastive.temperature`. Attributes say what a term needs:

    uses_taps          it reads `student.maps`: the taps that the profile keeps, with their weights
    uses_second_view   it reads `student.projections` of a second view

A term of your own is a function in a file:

    # my_losses.py
    from torch.nn import functional as F

    def spread(inputs, *, margin: float = 0.5):
        \"\"\"Features of different images keep a cosine below a margin.\"\"\"
        features = F.normalize(inputs.student.features.float(), dim=1)
        cosines = (features @ features.T).fill_diagonal_(0)
        return F.relu(cosines - margin).mean()

    # recipe.toml
    [loss]
    clone = 1.0
    "my_losses.py:spread" = { weight = 0.1, margin = 0.3 }

For more than a feature, set the attributes: `spread.uses_taps = True`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mimic_ray.base import user_code
from mimic_ray.base.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from mimic_ray.method.collectives import ProcessGroup
    from mimic_ray.method.student import StudentOutput
    from mimic_ray.method.teacher_output import TeacherOutput


@dataclass(frozen=True)
class LossInputs:
    """What a term may read: both networks' outputs for this worker's images of a step.

    `tap_weights` names the taps of `student.maps` and `teacher.attention`, in their order. `batch`
    counts the images of all workers; None where there is one worker and one part.
    """

    student: StudentOutput
    teacher: TeacherOutput
    tap_weights: Mapping[str, float]
    group: ProcessGroup
    batch: int | None = None


class LossTerm(Protocol):
    """See the module."""

    @property
    def uses_taps(self) -> bool: ...
    @property
    def uses_second_view(self) -> bool: ...
    def __call__(self, inputs: LossInputs) -> Tensor: ...

    def problem(self, parts: int, images: int) -> str:
        """Why the term cannot be computed, "" if it can.

        A worker's images of a step are split into `parts` parts (`training.accumulate`), the
        smallest of which has `images` images.
        """
        ...


class _AdaptedTerm:
    """A term without all of the attributes, or of a user's file, whose errors get file and line."""

    def __init__(self, term: Any, name: str) -> None:
        self._term, self._name = term, name
        self.uses_taps = bool(getattr(term, "uses_taps", False))
        self.uses_second_view = bool(getattr(term, "uses_second_view", False))

    def __call__(self, inputs: LossInputs) -> Tensor:
        with user_code.named_errors(self._name):
            value: Tensor = self._term(inputs)
            if value.ndim:
                raise ValueError(f"returned a tensor of shape {[*value.shape]}, not a scalar")
            return value

    def problem(self, parts: int, images: int) -> str:
        check = getattr(self._term, "problem", None)
        return check(parts, images) if check else ""


def _adapted(term: Any, name: str) -> LossTerm:
    complete = all(hasattr(term, each) for each in ("uses_taps", "uses_second_view", "problem"))
    return term if complete and not user_code.is_user_code(name) else _AdaptedTerm(term, name)


LOSSES = Registry[LossTerm](
    "loss",
    {
        "clone": "mimic_ray.method.losses.clone:Clone",
        "attention": "mimic_ray.method.losses.attention:Attention",
        "contrastive": "mimic_ray.method.losses.contrastive:Contrastive",
    },
    user_form="functions of LossInputs that return a scalar",
    calls={"": ("inputs",)},
    adapt=_adapted,
)
