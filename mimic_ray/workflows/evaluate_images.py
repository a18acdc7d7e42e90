"""The images of an evaluation: decoded once for each input size among the encoders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mimic_ray.attacks.triggers.trigger import Trigger, make_trigger
from mimic_ray.base.errors import DataError, UsageError, option
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.labelled import Labelled, labelled, require_class
from mimic_ray.data.train_and_test import count_shared, open_train_and_test


@dataclass(frozen=True)
class Backdoor:
    """A trigger (a name with settings, or an npz file) and its target class.

    With `count_target`, images of that class count in ASR too.
    """

    trigger: str
    target: str
    count_target: bool = False


@dataclass(frozen=True)
class LabelledSets:
    """Train and test images, and the backdoor, at one image size.

    `shared` test images are training images too.
    """

    train: Labelled
    test: Labelled
    trigger: Trigger | None
    target: int
    count_target: bool
    shared: int


def chosen_backdoor(trigger: str | None, target: str | None, count_target: bool) -> Backdoor | None:
    """None without a trigger. Raises UsageError for options that do not go together."""
    if trigger and target:
        return Backdoor(trigger, target, count_target)
    if trigger or target:
        raise UsageError(f"{option('trigger')} and {option('target')} must be given together.")
    if count_target:
        raise UsageError(
            f"{option('count_target')} needs {option('trigger')} and {option('target')}."
        )
    return None


class EvaluationImages:
    """Opens the two sets at the size that an encoder takes; each size is decoded once."""

    def __init__(
        self,
        train: str | Path,
        test: str | Path,
        train_limit: int | None,
        test_limit: int | None,
        backdoor: Backdoor | None,
        on_progress: ProgressCallback,
    ) -> None:
        self._locations = train, test, train_limit, test_limit
        self._backdoor, self._on_progress = backdoor, on_progress
        self._by_side: dict[int, LabelledSets] = {}

    @cached_property
    def sources(self) -> tuple[ImageSource, ImageSource]:
        """Train and test, not decoded. Raises what `open_evaluated` does."""
        return open_evaluated(*self._locations, self._backdoor)

    def at(self, side: int) -> LabelledSets:
        """The sets, `side` pixels wide. Raises DataError, UsageError and UnknownNameError."""
        if side not in self._by_side:
            self._by_side[side] = self._open(side)
        return self._by_side[side]

    def described(self) -> dict[str, str]:
        """The data sets and the trigger, for the record."""
        any_size = next(iter(self._by_side.values()))
        facts = {}
        for name, images in (("train", any_size.train), ("test", any_size.test)):
            facts[name] = images.location
            facts[f"{name} images"] = str(len(images.pixels))
            facts[f"{name} fingerprint"] = images.fingerprint
        if any_size.shared:
            facts["test images also in train"] = str(any_size.shared)
        if backdoor := self._backdoor:
            facts["trigger"] = backdoor.trigger
            facts["target"] = f"{any_size.target} ({any_size.test.class_name(any_size.target)})"
            facts["ASR counts"] = "all images" if backdoor.count_target else "other classes"
        return facts

    def _open(self, side: int) -> LabelledSets:
        backdoor = self._backdoor
        # Checked before thousands of images are decoded: the trigger may be for another image size.
        trigger = make_trigger(backdoor.trigger, side) if backdoor else None
        train, test = (
            labelled(
                source, side, lambda done, total: self._on_progress(Progress("decode", done, total))
            )
            for source in self.sources
        )
        _check_classes(train, test)
        shared = count_shared(train, test)
        if backdoor is None:
            return LabelledSets(train, test, None, 0, False, shared)
        target = test.class_index(backdoor.target)
        if not backdoor.count_target and bool((test.labels == target).all()):
            raise DataError(
                f"Every image of {test.location} belongs to the target class, so ASR cannot be "
                "measured: add test images of other classes."
            )
        return LabelledSets(train, test, trigger, target, backdoor.count_target, shared)


def open_evaluated(
    train: str | Path,
    test: str | Path,
    train_limit: int | None,
    test_limit: int | None,
    backdoor: Backdoor | None,
) -> tuple[ImageSource, ImageSource]:
    """Both sets, not decoded.

    Raises DataError for sets that cannot be used or have no labels, UsageError if they are the
    same, UnknownNameError for a target class that the test set does not have.
    """
    sources = open_train_and_test(train, test, train_limit, test_limit)
    if backdoor:
        require_class(sources[1], backdoor.target)
    return sources


def _check_classes(train: Labelled, test: Labelled) -> None:
    if train.classes and test.classes and train.classes != test.classes:
        raise DataError(
            f"{train.location} and {test.location} have different class names: use a training and "
            "a test set of the same data set."
        )
    if test.class_count() > train.class_count():
        raise DataError(
            f"{test.location} has {test.class_count()} classes and {train.location} only "
            f"{train.class_count()}: use a training and a test set of the same data set."
        )
