"""What a search refuses before its work, for a job that is about to be sent."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import replace

from mimic_ray.base.errors import StorageError
from mimic_ray.base.storage_address import is_remote
from mimic_ray.data.image_source import open_images, require_batch
from mimic_ray.method.recipe import check_recipe
from mimic_ray.store.study_folder import STUDY, check_study, read_study
from mimic_ray.store.study_store import StudyStore, open_study
from mimic_ray.workflows.evaluate_images import Backdoor, open_evaluated
from mimic_ray.workflows.search_request import SearchRequest, SearchSpec, search_spec
from mimic_ray.workflows.sent_inputs import can_see, check_trigger, input_side


def check_search(request: SearchRequest, out: str, *, resume: bool, sees_paths: bool) -> None:
    """Raises what `tune` would raise for its settings, recipe, output and images.

    Local paths only if `sees_paths`; images on object storage are not opened, and an output that
    cannot be read is left to the job. Reads no weights.
    """
    request.check()
    spec = search_spec(request)
    check_recipe(spec.base, request.resources.workers)
    if sees_paths or is_remote(out):
        study = open_study(out, f"reader-{os.getpid()}")
        with suppress(StorageError), closing(study.store):
            if resume:
                _check_same(study, request, spec)
            else:
                study.require_free()
    if sees_paths and not is_remote(request.data):
        require_batch(open_images(request.data), spec.base.training.batch)
    if (oracle := request.oracle) and can_see(oracle.train, oracle.test, sees_paths=sees_paths):
        check_oracle(request)


def check_oracle(request: SearchRequest) -> None:
    """Raises UsageError, UnknownNameError or DataError for labelled images, a trigger or a target
    that cannot be used. Decodes no image."""
    if oracle := request.oracle:
        check_trigger(oracle.trigger, input_side(request.encoder), sees_paths=True)
        backdoor = Backdoor(oracle.trigger, oracle.target)
        open_evaluated(oracle.train, oracle.test, None, None, backdoor)


def _check_same(study: StudyStore, request: SearchRequest, spec: SearchSpec) -> None:
    study.store.fetch_file(STUDY)
    earlier = read_study(study.folder)
    wanted = replace(
        earlier,
        encoder=request.encoder,
        held_out=request.held_out,
        recipe=spec.base.model_dump(mode="json"),
        space=spec.space(earlier.shares).described(),
    )
    check_study(earlier, wanted)
