"""The heads of an evaluation: kinds that are trained, and classifiers from files, which are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain
from mimic_ray.evaluation.file_head import FileHead, HeadFile, read_head_file
from mimic_ray.evaluation.head_choice import OWN, head_label, is_head_file
from mimic_ray.evaluation.heads import NearestNeighbours, TrainedHead, trained_head
from mimic_ray.workflows.evaluated_encoders import EvaluatedEncoder


@dataclass(frozen=True)
class ChosenHeads:
    """Heads by their name in the table; `own` is in neither, since each encoder has another."""

    trained: dict[str, TrainedHead | NearestNeighbours]
    files: dict[str, HeadFile]

    def from_files(self, each: EvaluatedEncoder) -> dict[str, FileHead]:
        """The heads of one encoder that are not trained. Raises UsageError if one does not fit."""
        width = each.encoder.spec.feature_width
        own = {OWN: each.own_head} if each.own_head else {}
        return own | {name: file.head(width) for name, file in self.files.items()}

    def described(self) -> dict[str, str]:
        """For the record."""
        trained = {name: head.described() for name, head in self.trained.items()}
        files = {name: f"{file.described()}, not trained" for name, file in self.files.items()}
        found = {name: file.finding for name, file in self.files.items() if file.finding}
        return {
            **{f"head {name}": words for name, words in (trained | files).items()},
            **{f"file of head {name}": words for name, words in found.items()},
        }


def chosen_heads(heads: Sequence[str | Path], seeds: int, epochs: int | None) -> ChosenHeads:
    """The heads to measure with; reads the files among them.

    Raises what `trained_heads` and `read_head_file` raise.
    """
    trained = trained_heads(heads, seeds, epochs)
    files = {head_label(head): read_head_file(head) for head in heads if is_head_file(head)}
    return ChosenHeads(trained, files)


def trained_heads(
    heads: Sequence[str | Path], seeds: int, epochs: int | None
) -> dict[str, TrainedHead | NearestNeighbours]:
    """Those of `heads` that are trained, by name; reads no file.

    Raises UsageError for no head or two of one name, UnknownNameError.
    """
    for name, value in (("seeds", seeds), ("head_epochs", 1 if epochs is None else epochs)):
        if value < 1:
            raise UsageError(f"{option(name, value)} must be 1 or more.")
    if not heads:
        raise UsageError(f"{option('heads', '[]')} has no kind of head: give at least one.")
    kinds = [str(head) for head in heads if not is_head_file(head)]
    trained = {name: trained_head(name) for name in kinds if name != OWN}
    if epochs is not None:
        trained = {
            name: replace(head, epochs=epochs) if isinstance(head, TrainedHead) else head
            for name, head in trained.items()
        }
    labels = {*kinds}
    for label in map(head_label, filter(is_head_file, heads)):
        if label in labels:
            raise UsageError(f"Two heads are named {plain(label)}: rename a file.")
        labels.add(label)
    return trained
