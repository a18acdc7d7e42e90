"""The result of a run: the student for us, the student for the user's own code, and back again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save
from torch import Tensor

from mimic_ray.base import files
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.errors import DamagedCheckpointError, RunFolderError, option
from mimic_ray.base.text import plain
from mimic_ray.base.user_code import file_of, is_user_code
from mimic_ray.encoders.checked_encoder import CheckedEncoder
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.store.checksums import check_sums
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import read_record
from mimic_ray.store.run_store import reading
from mimic_ray.weight_files.file_search import find_files
from mimic_ray.weight_files.write import write_like

if TYPE_CHECKING:
    from mimic_ray.weight_files.load import Loaded


def export(folder: RunFolder, student: Encoder, teacher: Loaded, all_copies: bool = False) -> Path:
    """Writes student.safetensors, export/<name of the teacher's file> and, last, encoder.json.

    With `all_copies`, other copies of the encoder in the file become the student, too. Returns the
    file, or folder, under export/: the student in the layout of what came in.
    """
    state = write_student(folder.student, student)
    original = teacher.checkpoint.path
    name = find_files(original).export_name
    if folder.export.exists():  # by a run that was killed before it said that it had finished
        shutil.rmtree(folder.export)
    with files.new_folder(folder.export) as unfinished:
        write_like(original, teacher.fit, state, unfinished / name, all_copies)

    description = {
        **_described(student.spec),
        "student_sha256": files.sha256(folder.student),
        "teacher": {"file": name, "sha256": teacher.checkpoint.sha256},
    }
    files.write_json(folder.encoder, description)
    return folder.export / name


def write_student(path: Path, student: Encoder) -> dict[str, Tensor]:
    """Writes student.safetensors and returns the weights in it, on the CPU."""
    # Copies: tied weights share memory, which safetensors refuses.
    state = {
        key: value.detach().cpu().contiguous().clone()
        for key, value in student.net.state_dict().items()
    }
    files.write_bytes(path, save(state))
    return state


@checked_arguments
def load_encoder(run: str | Path, *, allow_code: bool = False) -> Encoder:
    """Loads the purified encoder of a finished run, on the CPU, in eval mode.

    Args:
        run: The run folder, or its address.
        allow_code: Run the `file.py:function` that the encoder was made by. Only for runs that
            you trust; without it, such an encoder is refused.

    Returns:
        A torch module: images [B, 3, S, S] with values in [0, 1] -> features [B, D], not
        normalised. S is `encoder.spec.input_size`, D is `encoder.spec.feature_width`. In eager
        mode it raises DataError for other images: for another shape or type and, in eval mode, for
        values outside [0, 1].

    Raises:
        RunFolderError: The run is not finished, or files are missing.
        CheckpointError: The weights are not those that the run wrote.
        StorageError: The address cannot be read.

    Example:
        import torch

        encoder = mimic_ray.load_encoder("purified")
        side = encoder.spec.input_size
        features = encoder(torch.rand(8, 3, side, side))
    """
    return CheckedEncoder(read_encoder(run, allow_code=allow_code))


def read_encoder(run: str | Path, *, allow_code: bool | str = False) -> Encoder:
    """`load_encoder` without the checks of images, for images of this package.

    With the name of an architecture as `allow_code`, the run may use the user's code of that name
    and no other.
    """
    with reading(run) as folder:
        return _read_encoder(folder, allow_code)


def _read_encoder(folder: RunFolder, allow_code: bool | str) -> Encoder:
    record = read_record(folder.record)
    if record.status != "finished":
        raise RunFolderError(
            f"{folder.path} has no purified encoder yet: the run is {record.status} at step "
            f"{record.step}. Finish it first: repeat its purify with {option('resume', True)}."
        )
    check_sums(folder.path, folder.encoder.name)
    description = _read_description(folder)
    name = description["encoder"]
    if is_user_code(name) and not _may_run(name, allow_code):
        way_out = "pass allow_code=True to run it"
        if isinstance(allow_code, str):
            way_out = f"give it as {option('encoder', plain(name))}"
        raise RunFolderError(
            f"{folder.path} needs your own code to build its encoder ({plain(name)}): read that "
            f"file, then {way_out}."
        )
    if not folder.student.exists():
        raise RunFolderError(f"{folder.student} is missing: restore it from a copy.")
    if files.sha256(folder.student) != description["student_sha256"]:
        raise DamagedCheckpointError(
            f"{folder.student} is damaged (its sha256 is not the one in encoder.json): restore it "
            "from a copy."
        )
    encoder = build(name)
    for key, expected in _described(encoder.spec).items():
        if description[key] != expected:
            raise RunFolderError(
                f"{folder.encoder} says {key} = {description[key]}, but {name} has {expected} "
                "here: use the library versions in run.json."
            )
    encoder.net.load_state_dict(load_file(folder.student))
    return encoder.eval()


def _may_run(code: str, allowed: bool | str) -> bool:
    """Whether the code that a run names may be executed."""
    if isinstance(allowed, bool):
        return allowed
    if not is_user_code(allowed):
        return False
    same_function = code.rpartition(":")[2] == allowed.rpartition(":")[2]
    return same_function and file_of(code) == file_of(allowed)


def _described(spec: Spec) -> dict[str, Any]:
    """A spec as encoder.json has it."""
    return {
        "encoder": spec.name,
        "input_size": spec.input_size,
        "mean": list(spec.mean),
        "std": list(spec.std),
        "taps": list(spec.taps),
        "feature_width": spec.feature_width,
    }


def _read_description(folder: RunFolder) -> dict[str, Any]:
    wanted = {"encoder", "input_size", "mean", "std", "taps", "feature_width", "student_sha256"}
    try:
        description = json.loads(folder.encoder.read_bytes())
    except FileNotFoundError:
        raise RunFolderError(f"{folder.encoder} is missing: restore it from a copy.") from None
    except ValueError:
        description = None
    if not isinstance(description, dict) or not wanted <= description.keys():
        raise RunFolderError(f"{folder.encoder} is damaged: restore it from a copy.")
    return description
