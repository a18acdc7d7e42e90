"""The end of a purification: the results of the last checkpoint, and the status "finished"."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import (
    RESUME_ADVICE,
    CheckpointError,
    DataError,
    MimicError,
    RunFolderError,
    option,
)
from mimic_ray.base.progress import ProgressCallback
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.execution.distill_job import Outcome
from mimic_ray.execution.export import export
from mimic_ray.execution.fidelity_check import FidelityCheck
from mimic_ray.execution.lifecycle import note_end
from mimic_ray.execution.scan_check import ScanCheck
from mimic_ray.method.mi_profile import Profile
from mimic_ray.method.student import encoder_weights
from mimic_ray.report.run_report import write_report
from mimic_ray.report.scan_page import write_scan
from mimic_ray.scanning.run_scan_meaning import run_scan_meaning
from mimic_ray.store.checkpoint import latest
from mimic_ray.store.metrics_log import MetricsLog
from mimic_ray.store.profile_file import write_profile
from mimic_ray.store.progress_file import end_progress
from mimic_ray.store.run_record import RunRecord, read_record
from mimic_ray.store.run_store import RunStore
from mimic_ray.weight_files.export_notes import export_notes
from mimic_ray.weight_files.load import Loaded


def finish_run(
    run: RunStore,
    loaded: Loaded,
    source: ImageSource,
    compute: Compute,
    outcome: Outcome,
    on_progress: ProgressCallback,
    *,
    with_scan: bool,
    no_scan: str = "",
    all_copies: bool = False,
) -> RunRecord:
    """Writes the results; `no_scan` says why there is no scan that the user did not turn off.

    A failure is recorded in run.json, and a resumed run repeats them."""
    try:
        with files.disk_errors(run.folder.record, RESUME_ADVICE):
            # First, while `loaded.encoder` is still the teacher.
            check = FidelityCheck(source, loaded.encoder, compute, on_progress)
            scan = _Scan(run, source, loaded, compute, on_progress) if with_scan else None
            return _write_results(run, loaded, check, scan or no_scan, outcome, all_copies)
    except MimicError as error:
        with suppress(MimicError, OSError):
            record = read_record(run.folder.record)
            note_end(run, record, "failed", error=error.message)
        raise


def _write_results(
    run: RunStore,
    loaded: Loaded,
    check: FidelityCheck,
    scan: _Scan | str,
    outcome: Outcome,
    all_copies: bool,
) -> RunRecord:
    """Writes all results of the last checkpoint, and the status "finished" last."""
    run.lease.check(run.lease.token)
    run.publish_curves()
    run.fetch()
    folder = run.folder
    record = read_record(folder.record)
    committed = latest(folder)
    if committed is None:
        raise RunFolderError(f"{run} has no checkpoint: start again with another {option('out')}.")
    student = loaded.encoder
    student.net.load_state_dict(encoder_weights(committed.state["distillation"]["student"]))
    export(folder, student, loaded, all_copies)
    write_profile(folder.profile, Profile.from_json(outcome.profile))
    MetricsLog(folder, outcome.step).to_parquet()
    # train_s is in the record already.
    finished = record.ended("finished", step=outcome.step, train_s=0)
    imitated = len((committed.state["openings"] or {}).get("masks", ()))
    finished = replace(
        finished,
        fidelity=check.result(student),
        openings_imitated=imitated,
        scan=_scanned(scan, student, folder.path, imitated),
        teacher_notes=export_notes(loaded.fit, loaded.checkpoint.contents, all_copies),
    )
    write_report(folder, finished, str(run) if run.store.is_remote else "")
    finished.write(folder.record)
    run.publish_results()
    end_progress(run.store, "finished")
    return finished


def _scanned(scan: _Scan | str, student: Encoder, folder: Path, imitated: int) -> dict[str, Any]:
    """The entry of run.json."""
    if isinstance(scan, str):
        return {"off": scan} if scan else {}
    found = scan.write(student, folder)
    return found if "failed" in found else {**found, "meaning": run_scan_meaning(imitated)}


class _Scan:
    """The scan before and after. A run does not fail because an encoder cannot be scanned."""

    def __init__(
        self,
        run: RunStore,
        source: ImageSource,
        loaded: Loaded,
        compute: Compute,
        on_progress: ProgressCallback,
    ) -> None:
        self._check: ScanCheck | None = None
        self._failed = ""
        settings = {
            "encoder": loaded.encoder.spec.name,
            "teacher": str(loaded.checkpoint.path),
            "sha256": loaded.checkpoint.sha256,
            "data": source.location,
            "fingerprint": source.fingerprint,
            "student": str(run),
        }
        try:
            self._check = ScanCheck(source, loaded.encoder, compute, settings, on_progress)
        except (CheckpointError, DataError) as error:
            self._failed = error.message

    def write(self, student: Encoder, folder: Path) -> dict[str, Any]:
        """Writes page, picture and JSON to the folder; returns the entry of run.json."""
        if self._check is None:
            return {"failed": self._failed}
        try:
            found = self._check.result(student)
        except CheckpointError as error:
            return {"failed": error.message}
        write_scan(folder, found.before, found.openings, found.images)
        return found.summary()
