"""The encoders of an evaluation: from runs and checkpoint files, with their own heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.storage_address import is_remote
from mimic_ray.base.text import plain
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.encoder_name import without_statistics
from mimic_ray.evaluation.file_head import FileHead, find_head
from mimic_ray.execution.export import read_encoder
from mimic_ray.store.run_record import read_record
from mimic_ray.store.run_store import is_run, reading
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import load_checkpoint

# The name in the table of the encoder that was never attacked.
REFERENCE = "reference"


@dataclass(frozen=True)
class EvaluatedEncoder:
    """An encoder and, if it was asked for, the head beside it in its file."""

    encoder: Encoder
    own_head: FileHead | None
    finding: str = ""  # what loading its file the ordinary way would call or import


def load_encoders(
    paths: Mapping[str, str | Path], architecture: str | None, *, own_heads: bool
) -> dict[str, EvaluatedEncoder]:
    """The encoder of each path: a run folder, a checkpoint file, or the address of either.

    `architecture` is that of the checkpoint files; None finds it in each file. A run whose encoder
    was built by a user's own code needs it too, since naming the code is the permission to run it.
    Raises UsageError for a file that fits several, or with `own_heads` without a head.
    """
    return {
        name: (
            _from_run(path, architecture, own_heads)
            if is_run(path)
            else _from_file(path, architecture, own_heads)
        )
        for name, path in paths.items()
    }


def with_reference(
    encoders: Mapping[str, str | Path | Sequence[str | Path]], reference: str | Path | None
) -> dict[str, str | Path | Sequence[str | Path]]:
    """Name -> paths, a reference first. Raises UsageError for none and for a name that is taken."""
    if not (encoders or reference):
        raise UsageError(f"{option('encoders', '{}')} has no encoder: give at least one.")
    if not reference:
        return dict(encoders)
    if REFERENCE in encoders:
        raise UsageError(
            f'The name "{REFERENCE}" is taken by {option("reference")}: rename the encoder.'
        )
    return {REFERENCE: reference, **encoders}


def grouped(
    encoders: Mapping[str, str | Path | Sequence[str | Path]],
) -> dict[str, list[str | Path]]:
    """The paths of each name; several are purifications of one encoder with several seeds.

    Raises UsageError for a name without a path, or with the same path twice.
    """
    groups = {
        name: [given] if isinstance(given, str | Path) else [*given]
        for name, given in encoders.items()
    }
    for name, paths in groups.items():
        if not paths:
            raise UsageError(f'"{plain(name)}" has no encoder: give it at least one path.')
        seen = set()
        for path in paths:
            location = str(path) if is_remote(path) else str(Path(path).resolve())
            if location in seen:
                raise UsageError(
                    f'"{plain(name)}" has {plain(path)} twice: give each encoder of a row once, '
                    "because a copy says nothing about other seeds."
                )
            seen.add(location)
    return groups


def encoder_labels(name: str, encoders: int) -> list[str]:
    """What the encoders of a row are called: by its name, numbered if there are several."""
    if encoders == 1:
        return [name]
    return [f"encoder {number} of {name}" for number in range(1, encoders + 1)]


def refuse_statistics_of_runs(architecture: str | None, paths: Iterable[str | Path]) -> None:
    """Raises UsageError if a name states statistics of the input and all `paths` are runs, so that
    no file could have them."""
    stated = architecture is not None and without_statistics(architecture) != architecture
    if stated and all(map(is_run, paths)):
        raise UsageError(
            "The statistics of the input and the key of the weights belong to checkpoint files, "
            f"and a run states its own: leave {option('normalise')}, {option('mean')}, "
            f"{option('std')} and {option('weights')} out."
        )


def require_classes(head: FileHead, location: str, classes: int) -> None:
    """Raises UsageError if the images at `location` have more classes than the head."""
    if len(head.weight) < classes:
        raise UsageError(
            f"The head {plain(head.key)} has {len(head.weight)} classes and {location} has "
            f"{classes}: leave {option('heads', plain(head.chosen))} out, or give the test images "
            "that the head is for."
        )


def _from_file(path: str | Path, architecture: str | None, own_head: bool) -> EvaluatedEncoder:
    loaded = load_checkpoint(path, chosen_encoder(path, architecture))
    width = loaded.encoder.spec.feature_width
    head = find_head(loaded.checkpoint, loaded.fit, width) if own_head else None
    return EvaluatedEncoder(loaded.encoder, head, loaded.log_finding())


def encoder_of_run(path: str | Path, architecture: str | None) -> Encoder:
    """The purified encoder of a run.

    Raises RunFolderError if it is built by the user's code, unless `architecture` names that code.
    """
    return read_encoder(path, allow_code=architecture or "")


def _from_run(path: str | Path, architecture: str | None, own_head: bool) -> EvaluatedEncoder:
    encoder = encoder_of_run(path, architecture)
    if not own_head:
        return EvaluatedEncoder(encoder, None)
    with reading(path) as folder:
        name = read_record(folder.record).encoder if folder.record.exists() else None
        exported = next(iter(sorted(folder.export.iterdir())))
        head = _from_file(exported, name, own_head).own_head
        return EvaluatedEncoder(encoder, head)
