"""Makes a backdoored encoder, for research on defences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mimic_ray.attacks.attack_registry import ATTACKS, AttackInputs
from mimic_ray.attacks.references import by_margin
from mimic_ray.attacks.triggers.trigger import Trigger, make_trigger, write_trigger
from mimic_ray.base import devices, files
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import Compute, restores_threads
from mimic_ray.base.errors import DataError, UsageError, option
from mimic_ray.base.output_folder import Out
from mimic_ray.base.package import __version__
from mimic_ray.base.precision import Precision
from mimic_ray.base.progress import Progress, ProgressCallback, StepCallback, ignore_progress
from mimic_ray.data.decoded_set import Pixels, open_pixels
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.labelled import Labelled, labelled, open_labelled, open_some
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.features import features
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.file_search import find_files
from mimic_ray.weight_files.joined import checksum
from mimic_ray.weight_files.load import Loaded, load_checkpoint
from mimic_ray.weight_files.write import write_like
from mimic_ray.workflows.attack_checks import check_references, reference_count


@dataclass(frozen=True)
class AttackResult:
    """`checkpoint` has the layout of the clean file; `record` is the content of attack.json."""

    folder: Out
    checkpoint: Path | str
    record: dict[str, Any]


@checked_arguments
@restores_threads
def attack(
    encoder: str | None,
    teacher: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    trigger: str,
    target: str | None = None,
    references: int | str | Path = 3,
    reference_data: str | Path | None = None,
    name: str = "badencoder",
    settings: Mapping[str, Any] | None = None,
    limit: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    on_progress: ProgressCallback = ignore_progress,
) -> AttackResult:
    """Makes a backdoored encoder from a clean one, for research on defences.

    The attack maps images with the trigger to the feature of reference images of the target class.

    Args:
        encoder: Architecture, as for `purify`; None finds it in the file.
        teacher: Checkpoint file of the clean encoder, or its address.
        data: Shadow set: images. Their labels are only used to select references.
        out: A new folder, or an address.
        trigger: A trigger's name, with settings as in `patch:side=12`, the same for a function of
            your own, `file.py:function`, or an npz file.
        target: Name or index of the class of the references. Not needed for a file of references,
            which has a single class.
        references: Number of images most typical of `target`, or an npz file of references.
        reference_data: Labelled images to select references from, instead of `data`.
        name: Kind of attack.
        settings: Settings of the attack by name, for example `{"steps": 200}`; the options of
            `mimic-ray attack NAME` are the same.
        limit: Use this many images of `data`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: `auto`, `fp32` or `bf16`.
        threads: CPU threads; 0 uses all.
        on_progress: Called with a `Progress` regularly.

    Returns:
        The attacked checkpoint, in the layout of the clean file, and the record attack.json.

    Raises:
        MimicError: UsageError, CheckpointError, DataError, StorageError or RunFolderError for
            invalid arguments and inputs, before any training.

    Example:
        made = mimic_ray.attack(
            "resnet50", "clean.pth", "images", "attacked", trigger="patch", target="truck"
        )
        print(made.checkpoint, made.record["losses"])
    """
    chosen_settings = ATTACKS.settings(name, settings or {})
    number = reference_count(references, reference_data, target)
    implant = ATTACKS.resolve(name, chosen_settings)
    folder = Out(out)
    make = devices.choose(device, precision, threads)
    encoder = chosen_encoder(teacher, encoder)
    loaded = load_checkpoint(teacher, encoder)
    clean = loaded.encoder
    side = clean.spec.input_size
    # Checked before thousands of images are decoded: the trigger may be for another image size.
    pattern = make_trigger(trigger, side)
    source = open_some(data, limit)
    check_references(name, number, source, target if reference_data is None else None)
    shadow = open_pixels(source, side, progress=_decoding(on_progress))
    if number is None or target is None:
        chosen = _from_file(str(references), target, side)
        check_references(name, len(chosen.images), source, None)
    else:
        decoding = _decoding(on_progress)
        shown = _labelled(reference_data, source, shadow, decoding)
        chosen = _most_typical(number, shown, target, clean, make, on_progress)
    clean_features = features(
        clean, shadow, make, on_progress=_reporting(on_progress, "Clean features")
    )

    attacked = implant(
        AttackInputs(
            clean,
            shadow,
            clean_features,
            chosen.images,
            pattern.apply,
            make,
            on_step=_attacking(on_progress),
        )
    )
    record = {
        "attack": name,
        "encoder": encoder,
        "clean": {"file": str(teacher), "sha256": loaded.checkpoint.sha256},
        "shadow": {
            "location": source.location,
            "fingerprint": source.fingerprint,
            "images": len(shadow),
        },
        "trigger": trigger,
        **chosen.described(),
        "settings": chosen_settings,
        "losses": _summary(attacked.losses),
        "compute": make.facts(),
        "mimic_ray": __version__,
    }
    with folder.new_folder() as unfinished:
        checkpoint = _write_weights(unfinished, loaded, attacked.encoder)
        write_trigger(pattern, unfinished / "trigger.npz")
        _write_picture(chosen.images, pattern, shadow, unfinished / "images.png")
        record["attacked_sha256"] = checksum(checkpoint)
        files.write_json(unfinished / "attack.json", record)
    return AttackResult(folder, folder.at(checkpoint.name), record)


@dataclass(frozen=True)
class _References:
    images: Tensor  # uint8 [R, 3, S, S]
    target: int
    target_name: str
    location: str
    keys: list[str]

    def described(self) -> dict[str, Any]:
        """The entries of attack.json."""
        return {
            "target": {"index": self.target, "name": self.target_name},
            "references": {"location": self.location, "keys": self.keys},
        }


def _labelled(
    reference_data: str | Path | None, source: ImageSource, shadow: Pixels, decoding: StepCallback
) -> Labelled:
    """The images of which references are chosen: those of the shadow set by default."""
    if reference_data is None:
        return labelled(source, shadow.side, decoding, decoded=shadow)
    return open_labelled(reference_data, shadow.side, progress=decoding)


def _most_typical(
    number: int,
    labelled: Labelled,
    target: str,
    clean: Encoder,
    compute: Compute,
    on_progress: ProgressCallback,
) -> _References:
    """The images of the target class with the largest margin to all other classes."""
    index = labelled.class_index(target)
    found = features(
        clean, labelled.pixels, compute, on_progress=_reporting(on_progress, "Reference features")
    )
    best = by_margin(found, labelled.labels, index, number)
    return _References(
        labelled.pixels.gather(best),
        index,
        labelled.class_name(index),
        labelled.location,
        [labelled.keys[i] for i in best.tolist()],
    )


def _from_file(path: str, target: str | None, side: int) -> _References:
    """All images of a BadEncoder reference npz (x uint8 [R, H, W, 3], y their common class)."""
    labelled = open_labelled(path, side)
    classes = labelled.labels.unique().tolist()
    if len(classes) != 1:
        raise DataError(
            f"{path} has references of {len(classes)} classes ({classes[:5]}): use a single class."
        )
    if target is not None and target != str(classes[0]):
        raise UsageError(
            f'{path} has references of class {classes[0]}, not "{target}": remove '
            f"{option('target')}."
        )
    everything = torch.arange(len(labelled.pixels))
    return _References(labelled.pixels.gather(everything), classes[0], "", path, labelled.keys)


def _write_weights(folder: Path, loaded: Loaded, attacked: Encoder) -> Path:
    """The file with the attacked weights, in the layout and with the name of the clean one."""
    path = folder / find_files(loaded.checkpoint.path).export_name
    write_like(loaded.checkpoint.path, loaded.fit, attacked.net.state_dict(), path)
    return path


def _summary(losses: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Each term at every tenth step and at the last."""
    last = max((len(values) for values in losses.values()), default=0) - 1
    steps = [step for step in range(last + 1) if step % 10 == 0 or step == last]
    return {
        "step": [step + 1 for step in steps],
        **{term: [round(values[step], 5) for step in steps] for term, values in losses.items()},
    }


def _write_picture(references: Tensor, trigger: Trigger, shadow: Pixels, path: Path) -> None:
    """Upper row: the first references. Lower row: the first shadow images with the trigger."""
    from PIL import Image

    columns = 8
    triggered = trigger.apply(shadow.gather(torch.arange(min(columns, len(shadow)))))
    side = references.shape[-1]
    sheet = torch.full((3, 2 * side, columns * side), 255, dtype=torch.uint8)
    for row, images in enumerate((references[:columns], triggered)):
        for column, image in enumerate(images):
            top, left = row * side, column * side
            sheet[:, top : top + side, left : left + side] = image
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(path)


def _decoding(on_progress: ProgressCallback) -> StepCallback:
    return _reporting(on_progress, "decode")


def _attacking(on_progress: ProgressCallback) -> Callable[[int, int, float], None]:
    return lambda done, total, loss: on_progress(Progress("Attacking", done, total, {"loss": loss}))


def _reporting(on_progress: ProgressCallback, phase: str) -> StepCallback:
    return lambda done, total: on_progress(Progress(phase, done, total))
