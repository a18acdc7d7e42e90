"""The images of an evaluation: decoded once for each input size among the encoders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mimic_ray.attacks.triggers.trigger import Trigger, make_trigger
from mimic_ray.base.errors import DataError
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.data.labelled import Labelled, open_labelled


@dataclass(frozen=True)
class Attacked:
    """A trigger (a name with settings, or an npz) and the class it should lead to."""

    trigger: str
    target: str
    count_target: bool = False


@dataclass(frozen=True)
class LabelledSets:
    """Everything at one image size."""

    train: Labelled
    test: Labelled
    trigger: Trigger | None
    target: int
    count_target: bool


class Bench:
    """The images, decoded once for each input size among the encoders."""

    def __init__(
        self,
        train: str | Path,
        test: str | Path,
        train_limit: int | None,
        test_limit: int | None,
        attack: Attacked | None,
        on_progress: ProgressCallback,
    ) -> None:
        self._train, self._test = (train, train_limit), (test, test_limit)
        self._attack, self._on_progress = attack, on_progress
        self._by_side: dict[int, LabelledSets] = {}

    def of(self, side: int) -> LabelledSets:
        if side not in self._by_side:
            self._by_side[side] = self._open(side)
        return self._by_side[side]

    def described(self) -> dict[str, str]:
        any_size = next(iter(self._by_side.values()))
        facts = {}
        for name, images in (("train", any_size.train), ("test", any_size.test)):
            facts[name] = images.location
            facts[f"{name} images"] = str(len(images.pixels))
            facts[f"{name} fingerprint"] = images.fingerprint
        if self._attack:
            facts["trigger"] = self._attack.trigger
            facts["target"] = f"{any_size.target} ({any_size.test.class_name(any_size.target)})"
            facts["ASR counts"] = (
                "all images" if self._attack.count_target else "images of other classes"
            )
        return facts

    def _open(self, side: int) -> LabelledSets:
        attack = self._attack
        # First: a trigger of another size is found sooner than thousands of images are decoded.
        trigger = make_trigger(attack.trigger, side) if attack else None
        train, test = (
            open_labelled(
                location,
                side,
                limit=limit,
                progress=lambda done, total: self._on_progress(Progress("decode", done, total)),
            )
            for location, limit in (self._train, self._test)
        )
        _check_classes(train, test)
        target = test.class_index(attack.target) if attack else 0
        if attack and not attack.count_target and bool((test.labels == target).all()):
            raise DataError(
                f"Every image of {test.location} is of the target class, so none can be misled: "
                "give test images of other classes too."
            )
        return LabelledSets(train, test, trigger, target, bool(attack and attack.count_target))


def _check_classes(train: Labelled, test: Labelled) -> None:
    if train.classes and test.classes and train.classes != test.classes:
        raise DataError(
            f"{train.location} and {test.location} name different classes: head and test must be "
            "of the same data set."
        )
    if test.class_count() > train.class_count():
        raise DataError(
            f"{test.location} has {test.class_count()} classes and {train.location} has "
            f"{train.class_count()}: a head cannot know classes that it never saw."
        )
