"""mimic-ray purify: remove a backdoor from an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mimic_ray.base.resources import Resources
from mimic_ray.cli import console, options
from mimic_ray.cli.cost_question import can_ask, cost_question
from mimic_ray.cli.option_kinds import Kind
from mimic_ray.cli.run_location_note import with_run_location_note
from mimic_ray.cli.worker_numbers import parse_worker_range

if TYPE_CHECKING:
    from mimic_ray.workflows.purify import Purified

# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True


def check_before_sending(context: typer.Context, resources: Resources, sees_paths: bool) -> None:
    """Raises what the command would refuse on the cluster, as far as this machine can tell."""
    given = context.params
    if (encoder := options.encoder_of_job(given, sees_paths=sees_paths)) is None:
        return
    from mimic_ray.workflows.purify_request import PurifyRequest, check_request

    request = PurifyRequest(
        encoder,
        given["teacher"],
        given["data"],
        given["out"],
        recipe=given["recipe"],
        settings=given["setting"] or [],
        effort=given["effort"].value,
        seed=given["seed"],
        resources=resources,
        resume=given["resume"],
    )
    check_request(request, sees_paths=sees_paths)


def command(
    *,
    encoder: options.Encoder = None,
    teacher: options.Teacher,
    data: options.Data,
    out: Annotated[
        str, typer.Option(help="Run folder to create, or s3://bucket/run."), Kind.OUTPUT
    ],
    recipe: options.RecipeName = "auto",
    setting: options.Setting = None,
    effort: Annotated[
        options.EffortName,
        typer.Option(help="quick: a third of the recipe's steps, unless --set has them."),
    ] = options.EffortName.full,
    seed: Annotated[
        int | None, typer.Option(help="Random seed; the same seed gives the same result.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out from its last checkpoint.")
    ] = False,
    all_copies: Annotated[
        bool,
        typer.Option(
            "--all-copies",
            help="Purify every copy of the encoder in the file, such as a teacher's.",
        ),
    ] = False,
    commit_every: Annotated[
        int,
        typer.Option(
            min=0,
            help="Steps between two checkpoints; with 0, as often as costs at most 2 % of the "
            "time, and not within 10 s.",
        ),
    ] = 0,
    scan: Annotated[
        bool | None,
        typer.Option(
            "--scan/--no-scan",
            help="Scan the suspect and the student at the end, without labels and trigger. By "
            "default after a run on this machine that is long enough to purify.",
        ),
    ] = None,
    track: options.Track = None,
    workers: options.WorkerRange = "1",
    strategy: options.Strategy = "ddp",
    teacher_placement: options.TeacherPlacement = "replicated",
    max_failures: options.MaxFailures = None,
    wait_for_capacity: options.WaitForCapacity = 0,
    local: options.Local = False,
    ray: options.Ray = False,
    cpus_per_worker: options.CpusPerWorker = 0,
    gpus_per_worker: options.GpusPerWorker = None,
    address: options.Address = None,
    normalise: options.Normalise = None,
    mean: options.Mean = None,
    std: options.Std = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Purify a suspect encoder with a few thousand clean, unlabelled images.

    With labels, mimic-ray evaluate --into OUT --head own|FILE adds the accuracy that is kept.

    Example: mimic-ray purify --encoder resnet50 --teacher suspect.pth --data images/ --out purified
    """
    from mimic_ray.workflows.purify import purify

    fewest, most = parse_worker_range(workers)
    resources = Resources(
        workers=most,
        min_workers=fewest,
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        address=address,
        local=local,
        ray=ray,
        strategy=strategy,
        teacher_placement=teacher_placement,
        max_failures=max_failures,
        capacity_timeout_s=wait_for_capacity,
    )
    with console.progress() as on_progress:
        result = purify(
            options.with_settings(encoder, normalise, mean, std, weights),
            teacher,
            data,
            out,
            recipe=recipe,
            settings=setting or [],
            effort=effort.value,
            seed=seed,
            resources=resources,
            resume=resume,
            all_copies=all_copies,
            device=device,
            threads=threads,
            commit_every=commit_every,
            scan=scan,
            trackers=track or [],
            yes=yes or can_ask(),
            on_progress=with_run_location_note(on_progress, resources),
            on_cost=cost_question(yes, effort.value),
            command=console.mode.command,
        )
    for warning in result.warnings:
        console.note(f"note: {warning}")
    if json:
        found = {"run": result.run, "export": result.export, "warnings": result.warnings}
        console.print_json({**found, **vars(result.record)})
    else:
        _print(result)


def _print(result: Purified) -> None:
    console.out.print(f"Purified in {result.record.train_time()}: {result.run}", soft_wrap=True)
    console.out.print(f"  checkpoint  {result.export}", soft_wrap=True)
    console.out.print(f"  in Python   mimic_ray.load_encoder('{result.run}')", soft_wrap=True)
    console.out.print(f"  model card  {result.run}/README.md", soft_wrap=True)
    if result.record.fidelity:
        from mimic_ray.report.fidelity_text import fidelity_sentence, fidelity_warning

        console.out.print(
            f"  fidelity    {fidelity_sentence(result.record.fidelity)}", soft_wrap=True
        )
        if warning := fidelity_warning(result.record.fidelity):
            console.out.print(f"              {warning}", soft_wrap=True)
    if result.record.scan:
        from mimic_ray.report.run_scan_text import scan_lines

        for number, line in enumerate(scan_lines(result.record.scan)):
            console.out.print(f"  {'' if number else 'scan':<10}  {line}", soft_wrap=True)
    console.out.print(
        "No recipe removes every kind of trigger: the model card lists those that were imitated.",
        soft_wrap=True,
    )
