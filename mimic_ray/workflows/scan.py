"""The scan of a suspect encoder for universal changes that it answers to."""

from __future__ import annotations

from pathlib import Path

from mimic_ray.base import devices
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import restores_threads
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.output_folder import Out
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.data.clean_sample import announce_resizing, clean_sample
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.encoder_name import without_weights
from mimic_ray.report.scan_page import write_scan
from mimic_ray.scanning.scan_images import open_scan_images
from mimic_ray.scanning.scan_outcome import scan_outcome
from mimic_ray.scanning.scan_result import ScanResult
from mimic_ray.scanning.scanner import scan_encoder
from mimic_ray.store.run_store import is_run
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import load_checkpoint
from mimic_ray.workflows.evaluated_encoders import encoder_of_run, refuse_statistics_of_runs
from mimic_ray.workflows.scan_checks import check_reference, open_clean, refuse_equal_weights


@checked_arguments
@restores_threads
def scan(
    encoder: str | None,
    teacher: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    *,
    student: str | Path | None = None,
    reference: str | Path | None = None,
    reference_encoder: str | None = None,
    effort: Effort = "full",
    seed: int = 0,
    device: str = "auto",
    threads: int = 0,
    on_progress: ProgressCallback = ignore_progress,
) -> ScanResult:
    """Looks for signs of a backdoor in an encoder, with clean images and without its trigger.

    A trigger is one change that gives all images the same feature. The scan tries many changes and
    measures how far they gather the features of images that it did not search on. Ordinary encoders
    answer to some changes as well, so the verdict compares: with benign encoders of the same
    architecture, or with a reference. No verdict calls an encoder clean.

    Args:
        encoder: Architecture of the suspect encoder, as for `purify`; None finds it in the file. A
            run states its own.
        teacher: The suspect encoder: a checkpoint file or a run, or the address of either.
        data: Clean images, at least 64; labels are not used.
        out: A new folder, or an address, for a page, scan.json, the openings as a picture (.png,
            .pdf, .svg) and as a table (.csv, .tex, .md).
        student: The run folder of a purification of this encoder: shows which openings it closed.
            It has no part in the verdict.
        reference: A trusted encoder of the same kind, a checkpoint or a run. Then the verdict rests
            on what the suspect answers to and the reference does not.
        reference_encoder: Architecture of the reference, if it is another one.
        effort: `full`, or `quick` for a third of the time, as a first look: it has no limits of its
            own, so its verdict is `cannot tell`.
        seed: Of the search. The same seed gives the same result.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads; 0 uses all.
        on_progress: Called with a `Progress` regularly.

    Returns:
        The verdict with its reason, the openings, and the calibration; `to_frame()` gives the
        openings as a table.

    Raises:
        MimicError: UsageError, CheckpointError, DataError, StorageError or RunFolderError for
            invalid arguments and inputs.

    Example:
        found = mimic_ray.scan("resnet50", "suspect.pth", "images")
        print(found.verdict, found.reason)
        print(found.to_frame())
    """
    check_reference(reference, reference_encoder)
    folder = Out(out) if out else None
    compute = devices.choose(device, "auto", threads)
    refuse_statistics_of_runs(encoder, [teacher])
    suspect, sha256, finding = _load(teacher, encoder)
    given, encoder = encoder, suspect.spec.name
    side = suspect.spec.input_size
    trusted = _other(reference, reference_encoder or without_weights(encoder), side, "reference")
    refuse_equal_weights(reference, suspect, trusted)
    purified = _other(student, given or encoder, side, "student")
    source = open_clean(data)
    announce_resizing(clean_sample(source, side), side, encoder, source.location)
    images = open_scan_images(
        source, side, compute, lambda done, total: on_progress(Progress("decode", done, total))
    )

    findings = scan_encoder(
        suspect,
        images.parts,
        compute,
        seed,
        effort,
        reference=trusted,
        student=purified,
        on_step=lambda done, total: on_progress(Progress("scan", done, total)),
    )
    settings = {
        "encoder": encoder,
        "teacher": str(teacher),
        "sha256": sha256,
        "finding": finding,
        "data": source.location,
        "fingerprint": source.fingerprint,
        "images": images.number,
        "reference": str(reference) if reference else None,
        "student": str(student) if student else None,
        "effort": effort,
        "seed": seed,
        "compute": compute.facts(),
    }
    location = str(folder) if folder else ""
    result, shown = scan_outcome(
        suspect.spec.name, findings, effort, images.bank_keys, settings, location
    )
    if folder:
        with folder.new_folder() as unfinished:
            write_scan(unfinished, result, shown, images.parts)
    return result


def _other(path: str | Path | None, architecture: str, side: int, name: str) -> Encoder | None:
    """A reference or student, or None. Raises UsageError for one of another image size."""
    if path is None:
        return None
    other = _load(path, architecture)[0]
    if other.spec.input_size != side:
        raise UsageError(
            f"{option(name, str(path))} takes images of {other.spec.input_size} pixels and the "
            f"suspect encoder of {side}: both must see the same images."
        )
    return other


def _load(path: str | Path, architecture: str | None) -> tuple[Encoder, str, str]:
    """The encoder of a run or a checkpoint, the checksum of its file, and what loading that file
    the ordinary way would call or import."""
    if is_run(path):
        return encoder_of_run(path, architecture), "", ""
    loaded = load_checkpoint(path, chosen_encoder(path, architecture))
    return loaded.encoder, loaded.checkpoint.sha256, loaded.log_finding()
