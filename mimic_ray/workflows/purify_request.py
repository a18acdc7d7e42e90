"""The request of a purification: what is checked before any work, and its record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mimic_ray.base import devices, user_code
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import DiskFullError, StorageError, UsageError, option
from mimic_ray.base.resources import Resources, this_machine
from mimic_ray.base.storage_address import is_remote
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_source import open_images, require_batch
from mimic_ray.data.image_subset import held_out_number
from mimic_ray.method.recipe import Recipe, check_recipe, user_members
from mimic_ray.method.recipe_sections import LARGEST_SEED
from mimic_ray.store.agreement import check_agreement
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import RunRecord, read_record
from mimic_ray.store.run_store import RunStore, open_run
from mimic_ray.weight_files.load import Loaded


@dataclass(frozen=True)
class PurifyRequest:
    """The arguments of `purify`; `encoder` is the one that was chosen for the file."""

    encoder: str
    teacher: str | Path
    data: str | Path
    out: str | Path
    recipe: str | Path | Recipe = "auto"
    settings: Sequence[str] = ()
    effort: Effort = "full"
    seed: int | None = None
    resources: Resources = field(default_factory=Resources)
    resume: bool = False
    all_copies: bool = False
    device: str = "auto"
    threads: int = 0
    commit_every: int = 0
    scan: bool | None = None
    trackers: Sequence[str] = ()
    yes: bool = False
    command: str = ""


def resolved_recipe(request: PurifyRequest) -> Recipe:
    """The recipe for its effort with all changes. Raises UsageError or RecipeError."""
    seed = request.seed
    if seed is not None and not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"{option('seed', seed)} must be between 0 and {LARGEST_SEED}.")
    overrides = [*request.settings, *([f"training.seed={seed}"] if seed is not None else [])]
    return load_recipe(request.recipe, overrides, request.encoder, request.effort)


def check_workers(recipe: Recipe, resources: Resources) -> None:
    """Raises UsageError if a batch cannot be shared out, at any number of workers of the run."""
    for world_size in {resources.required_workers, resources.workers}:
        check_recipe(recipe, world_size)


def check_request(request: PurifyRequest, *, sees_paths: bool) -> None:
    """What `purify` refuses before its work, for a job: recipe, workers, output and images.

    Local paths only if `sees_paths`; images on object storage are not opened, and an output that
    cannot be read is left to the job. Reads no weights. Raises as `purify` does.
    """
    recipe = resolved_recipe(request)
    check_workers(recipe, request.resources)
    if sees_paths or is_remote(request.out):
        _check_output(request, recipe)
    if sees_paths and not is_remote(request.data):
        source = open_images(request.data)
        require_batch(source, recipe.training.batch, held_out_number(len(source)))


def _check_output(request: PurifyRequest, recipe: Recipe) -> None:
    reader = f"reader-{os.getpid()}"
    with suppress(StorageError), closing(open_run(request.out, reader).store) as store:
        run = RunStore(store)
        if not request.resume:
            run.require_free()
            return
        for file in (run.folder.record, run.folder.recipe):
            run.store.fetch_file(file.name)
        folder = RunFolder.open(run.folder.path)
        if folder.recipe.exists():
            recorded = load_recipe(str(folder.recipe)).model_dump(mode="json")
            earlier = read_record(folder.record)
            check_agreement(
                {"encoder": earlier.encoder, "recipe": recorded},
                {"encoder": request.encoder, "recipe": recipe.model_dump(mode="json")},
            )


def placed(request: PurifyRequest) -> PurifyRequest:
    """With the CPUs, GPUs, device and threads that it gets; a cluster decides on its own."""
    resources, device = request.resources, request.device
    if resources.address is None:
        resources, device = on_this_machine(resources, device)
    threads = request.threads or resources.cpus_per_worker
    return replace(request, resources=resources, device=device, threads=threads)


def on_this_machine(resources: Resources, device: str) -> tuple[Resources, str]:
    """With CPUs and GPUs for each worker, and the device for a run in this process."""
    here = {**this_machine(), "GPU": 0.0} if device == "cpu" else this_machine()
    resources = resources.with_gpus(here).with_cpus([here])
    if device == "auto" and not resources.gpus_per_worker:
        device = "cpu"
    return resources, device


def new_record(
    request: PurifyRequest, recipe: Recipe, loaded: Loaded, source: ImageSource
) -> RunRecord:
    """The record of a run that starts; `request` is placed."""
    # The driver of a GPU cluster may have no GPU. Then the workers' facts replace these.
    device = "cpu" if request.resources.address else request.device
    return RunRecord(
        command=request.command,
        encoder=request.encoder,
        teacher=str(request.teacher),
        teacher_sha256=loaded.checkpoint.sha256,
        data=str(request.data),
        data_fingerprint=source.fingerprint,
        images=len(source),
        left_out=dict(source.left_out),
        seed=recipe.training.seed,
        compute=devices.choose(device, recipe.training.precision, request.threads).facts(),
        workers=request.resources.workers,
        user_code=user_code.checksums([request.encoder, *user_members(recipe)]),
        strategy=request.resources.strategy,
        input=loaded.encoder.spec.input,
        assumed=loaded.assumed,
        effort=request.effort,
    )


def check_disk(out: Path, loaded: Loaded) -> None:
    """Needs space for the weights, gradient moments, three checkpoints and two exports."""
    weights = sum(t.numel() * 4 for t in loaded.encoder.net.state_dict().values())
    needed = 11 * weights + (64 << 20)
    folder = next(p for p in (out.resolve(), *out.resolve().parents) if p.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"{folder} has {free >> 20:,} MiB free and the run needs about {needed >> 20:,} MiB.",
            f"Free some space, or set {option('out')} to a folder on another disk.",
        )
