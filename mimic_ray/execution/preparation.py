"""What a worker makes before its first step: images, profile, openings, teacher outputs.

Rank 0 makes what is the same for all workers. It reports after each batch; a stop request is heard
there. The others wait for the result, and learn that it is still running.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import StoppedError, option
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.data.decoded_images import IdentifiedImages
from mimic_ray.data.decoded_set import Pixels, open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.image_subset import hold_out
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.execution.distill_job import DistillJob
from mimic_ray.execution.setup import (
    Precomputed,
    cache_teacher,
    cached_side,
    profile_images,
    search_openings,
)
from mimic_ray.execution.training_control import TrainingControl
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.found_changes import FoundChanges
from mimic_ray.method.losses.weighted_terms import reads_taps
from mimic_ray.method.mi_profile import Profile
from mimic_ray.method.teacher_cache import TeacherCache, teacher_cache_key
from mimic_ray.store.checkpoint import Committed
from mimic_ray.store.progress_file import ProgressWriter


@dataclass(frozen=True)
class Preparation:
    """Of one worker. Only rank 0 has a `progress_file`."""

    job: DistillJob
    group: ProcessGroup
    compute: Compute
    control: TrainingControl
    progress_file: ProgressWriter | None

    def open_images(self, input_size: int) -> Pixels:
        """Decoded images. Workers of one machine fill and read the same file."""
        return open_pixels(
            hold_out(open_images(self.job.data))[0],
            cached_side(self.job.recipe, input_size),
            memory_limit_bytes=None if self.group.world_size == 1 else 0,
            progress=lambda done, total: self._report(Progress("decode", done, total)),
            by_shard=True,
        )

    def make_profile(
        self, teacher: Encoder, images: IdentifiedImages, checkpoint: Committed | None
    ) -> Profile:
        """The profile of the checkpoint, or a new one."""
        if checkpoint:
            return Profile.from_json(checkpoint.state["profile"])
        job = self.job
        return self.group.from_first(
            lambda at_work: profile_images(
                job.encoder, teacher, images, job.recipe, self.compute, self._reporting(at_work)
            )
        )

    def find_openings(
        self, teacher: Encoder, images: IdentifiedImages, checkpoint: Committed | None
    ) -> FoundChanges | None:
        """The openings of the checkpoint, or those of a search."""
        if checkpoint:
            found = checkpoint.state["openings"]
            return FoundChanges.from_state(found) if found else None
        recipe = self.job.recipe
        return self.group.from_first(
            lambda at_work: search_openings(
                teacher, images, recipe, self.compute, self._reporting(at_work)
            )
        )

    def find_teacher_cache(
        self,
        teacher: Encoder,
        images: IdentifiedImages,
        profile: Profile,
        precomputed: Precomputed | None,
    ) -> TeacherCache | None:
        """Cached teacher outputs where they exist or save time; not with several workers."""
        recipe = self.job.recipe
        taps = list(profile.weights()) if reads_taps(recipe.loss) else []
        key = teacher_cache_key(recipe, images.fingerprint, self.job.encoder)
        if precomputed:
            return precomputed.usable_teacher_cache(key, taps)
        if self.group.world_size > 1:
            return None
        return cache_teacher(teacher, images, recipe, taps, self.compute, key, self._report)

    def _reporting(self, at_work: Callable[[], None]) -> ProgressCallback:
        def report(progress: Progress) -> None:
            at_work()
            self._report(progress)

        return report

    def _report(self, progress: Progress) -> None:
        """Raises StoppedError after a stop request."""
        if self.progress_file is None:
            return
        self.progress_file.phase(progress.phase, progress.done, progress.total)
        self.control.post(progress)
        if self.control.should_stop():
            raise StoppedError(
                "Stopped before the first step. To continue, run the same command with "
                f"{option('resume', True)}."
            )
