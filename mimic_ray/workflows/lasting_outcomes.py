"""What further training does to evaluated encoders: whether a removed backdoor comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError, UsageError, option
from mimic_ray.base.progress import StepCallback
from mimic_ray.base.text import count, plain
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.outcomes import LabelledTest, Outcomes
from mimic_ray.evaluation.revival import FineTuning, PlainDistillation, distilled_again, fine_tuned
from mimic_ray.workflows.evaluate_images import LabelledSets
from mimic_ray.workflows.evaluated_encoders import REFERENCE, EvaluatedEncoder

_FEWEST_IMAGES = 8  # batch norm needs two, and fewer say nothing


@dataclass(frozen=True)
class FurtherTraining:
    """Trains encoders further, as `compare` does; see evaluation/revival.py.

    `suspect` is the encoder that others are distilled from again, and `name` that of its row.
    `reference` is the name of the row of an encoder that was never attacked, if there is one.
    """

    name: str
    suspect: Encoder
    compute: Compute
    reference: str | None = None
    seed: int = 0

    def distils(self, name: str) -> bool:
        """Whether plain distillation from the suspect encoder says something about this row."""
        return name not in (self.name, self.reference)

    def tunes(self, name: str) -> bool:
        """Whether a user's training says something about this row."""
        return name != self.reference

    def check(self, loaded: Mapping[str, Sequence[EvaluatedEncoder]]) -> None:
        """Raises UsageError if an encoder cannot be distilled from the suspect encoder."""
        wanted = self.suspect.spec
        for name, group in loaded.items():
            for spec in (each.encoder.spec for each in group if self.distils(name)):
                shapes = (spec.input_size, spec.feature_width)
                if shapes != (wanted.input_size, wanted.feature_width):
                    raise UsageError(
                        f'"{plain(name)}" takes images of {shapes[0]} pixels and gives {shapes[1]} '
                        f'features, "{plain(self.name)}" {wanted.input_size} and '
                        f"{wanted.feature_width}, so that it cannot be distilled from it: leave "
                        f"the encoder or {option('lasting', plain(self.name))} out."
                    )

    def check_images(self, train: ImageSource) -> None:
        """Raises DataError for too few training images."""
        if len(train) < _FEWEST_IMAGES:
            raise DataError(
                f"{train.location} has {count(len(train), 'image')}, and further training needs at "
                f"least {_FEWEST_IMAGES}: use more, or leave {option('lasting')} out."
            )

    def distilled(self, encoder: Encoder, sets: LabelledSets, on_step: StepCallback) -> Encoder:
        """After plain distillation on the training images. Raises DivergedError."""
        images = sets.train.pixels
        return distilled_again(
            encoder, self.suspect, images, self.compute, self.seed, on_step=on_step
        )

    def tuned(self, encoder: Encoder, sets: LabelledSets, on_step: StepCallback) -> Outcomes:
        """Of a user's model, trained on few of the training images. Raises DivergedError."""
        test = labelled_test(sets)
        images, labels = test.train, test.train_labels
        model = fine_tuned(
            encoder, images, labels, test.classes, self.compute, self.seed, on_step=on_step
        )
        return test.with_heads(model.encoder, [model.head], self.compute)

    def described(self) -> dict[str, str]:
        """For the record."""
        return described_training(f"the encoder {plain(self.name)}", "the same kind of head")


def check_suspect_row(
    lasting: str | None,
    groups: Mapping[str, Sequence[str | Path]],
    *,
    with_reference: bool,
    with_trigger: bool,
) -> None:
    """Raises UsageError unless `lasting` is None or the name of a row with one encoder, and there
    is a trigger. With `with_reference`, the row of that name was never attacked."""
    if lasting is None:
        return
    given = option("lasting", plain(lasting) or '""')
    names = [name for name in groups if not (with_reference and name == REFERENCE)]
    if lasting not in names:
        raise UsageError(
            f"{given} is not the name of an encoder that may be suspect: name one of "
            f"{', '.join(map(plain, names))}."
        )
    if not with_trigger:
        raise UsageError(
            f"{given} needs {option('trigger')} and {option('target')}: what comes back is the "
            "attack success rate."
        )
    if len(groups[lasting]) > 1:
        raise UsageError(f"{given} has several encoders: name the one that is suspect.")


def labelled_test(sets: LabelledSets) -> LabelledTest:
    return LabelledTest(
        train=sets.train.pixels,
        train_labels=sets.train.labels,
        test=sets.test.pixels,
        test_labels=sets.test.labels,
        classes=sets.train.class_count(),
        triggered=sets.trigger.apply if sets.trigger else None,
        target=sets.target,
        count_target=sets.count_target,
    )


def described_training(suspect: str, heads: str) -> dict[str, str]:
    """The two trainings in words, for the record."""
    return {
        "after distillation": f"plain distillation from {suspect}, "
        f"{PlainDistillation().described()}; {heads}",
        "after fine-tuning": f"encoder and linear head on {FineTuning().described()}; this head",
    }
