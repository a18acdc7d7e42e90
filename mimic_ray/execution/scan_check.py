"""The scan of a finished run: of the suspect encoder, and of the student that came from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mimic_ray.base.devices import Compute
from mimic_ray.base.effort import Effort
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_subset import ImageSubset, hold_out
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.scanning.forward_count import ForwardCount
from mimic_ray.scanning.openings import Images, Opening
from mimic_ray.scanning.scan_images import LEAST, MOST, open_scan_images, require_images
from mimic_ray.scanning.scan_outcome import scan_outcome
from mimic_ray.scanning.scan_result import ScanResult
from mimic_ray.scanning.scanner import answer_forwards, answers, scan_encoder

# A change that gathers features this far counts as an opening of the encoder, and as closed when
# the student gathers them at most half as far as the suspect.
_OPEN, _CLOSED = 0.5, 0.5
EFFORT: Effort = "full"


@dataclass(frozen=True)
class RunScan:
    """`before` is the suspect's scan, with the student's answers; `after` the student's own."""

    before: ScanResult
    after: ScanResult
    openings: list[Opening]  # those of the rows of `before`
    images: Images
    found: int  # openings of the suspect, of all that were measured
    closed: int

    def summary(self) -> dict[str, Any]:
        """The entry of run.json."""
        return {
            "before": _short(self.before),
            "after": _short(self.after),
            "openings": self.found,
            "closed": self.closed,
            "left": self.found - self.closed,
        }


class ScanCheck:
    """Scans the suspect now, and the student in `result`, on the same clean images.

    Uses the images that were held out of training if they are enough for a scan. Raises DataError
    and CheckpointError as `scan_encoder` does.
    """

    def __init__(
        self,
        source: ImageSource,
        suspect: Encoder,
        compute: Compute,
        settings: Mapping[str, Any],
        on_progress: ProgressCallback,
    ) -> None:
        _, held_out = hold_out(source)
        chosen = held_out if held_out is not None and len(held_out) >= LEAST else source
        if len(chosen) > MOST:
            chosen = ImageSubset(chosen, evenly_spaced(MOST, len(chosen)))
        require_images(len(chosen), chosen.location)
        images = open_scan_images(chosen, suspect.spec.input_size, compute)
        self._images, self._keys = images.parts, images.bank_keys
        self._compute, self._on_progress = compute, on_progress
        self._settings = {**settings, "images": images.number, "compute": compute.facts()}
        self._name = suspect.spec.name
        self._findings = scan_encoder(suspect, self._images, compute, 0, EFFORT, on_step=self._step)

    def result(self, student: Encoder) -> RunScan:
        """The scans of both. Neither encoder is changed."""
        changes = [opening.change for opening in self._findings.openings]
        count = ForwardCount(answer_forwards(self._images, len(changes)), self._step).add
        reached = answers(student, self._images, changes, self._compute, count)
        before, openings = scan_outcome(
            self._name,
            replace(self._findings, student=reached),
            EFFORT,
            self._keys,
            self._settings,
        )
        found = scan_encoder(student, self._images, self._compute, 0, EFFORT, on_step=self._step)
        after, _ = scan_outcome(self._name, found, EFFORT, self._keys, self._settings)
        pairs = [
            (opening.gathering, answer)
            for opening, answer in zip(self._findings.openings, reached, strict=True)
            if opening.gathering >= _OPEN
        ]
        closed = sum(answer <= _CLOSED * gathered for gathered, answer in pairs)
        return RunScan(before, after, openings, self._images, len(pairs), closed)

    def _step(self, done: int, total: int) -> None:
        self._on_progress(Progress("scan", done, total))


def _short(result: ScanResult) -> dict[str, Any]:
    return {"verdict": result.verdict.value, "reason": result.reason, "score": result.score}
