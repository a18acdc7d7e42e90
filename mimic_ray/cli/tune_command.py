"""mimic-ray tune: search for the best recipe."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from mimic_ray.base.errors import UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.cli import console, options
from mimic_ray.cli.cost_question import can_ask, cost_question
from mimic_ray.cli.option_kinds import Kind
from mimic_ray.cli.run_location_note import with_run_location_note

if TYPE_CHECKING:
    from mimic_ray.workflows.study_outcome import Tuned

_SPACE = "Search space"
_ORACLE = "Oracle (research)"
_LABELS = ("train", "test", "trigger", "target")

# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True


def check_before_sending(context: typer.Context, resources: Resources, sees_paths: bool) -> None:
    """Raises what the command would refuse on the cluster, as far as this machine can tell."""
    given = context.params
    if (encoder := options.encoder_of_job(given, sees_paths=sees_paths)) is None:
        return
    from mimic_ray.workflows.search_checks import check_search
    from mimic_ray.workflows.search_request import TRIALS, Oracle, SearchRequest

    known = _oracle(given["oracle"], {name: given[name] for name in _LABELS})
    effort = given["effort"].value
    request = SearchRequest(
        encoder=encoder,
        teacher=given["teacher"],
        data=given["data"],
        recipe=given["recipe"],
        settings=given["setting"] or [],
        search=given["search"] or [],
        only_these=given["only_these"],
        effort=effort,
        trials=TRIALS[effort] if given["trials"] is None else given["trials"],
        held_out=given["held_out"],
        resources=Resources(workers=resources.workers, address="auto"),
        failed_share=given["failed_share"],
        oracle=Oracle(**known) if known else None,
    )
    check_search(request, given["out"], resume=given["resume"], sees_paths=sees_paths)


def command(
    *,
    encoder: options.Encoder = None,
    teacher: options.Teacher,
    data: options.Data,
    out: Annotated[
        str, typer.Option(help="Study folder to create, or s3://bucket/study."), Kind.OUTPUT
    ],
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of trials, including those of a resumed study. Default: 16, or 8 with "
            "--effort quick.",
            show_default=False,
        ),
    ] = None,
    recipe: options.RecipeName = "auto",
    setting: options.Setting = None,
    effort: Annotated[
        options.EffortName,
        typer.Option(
            help="quick: a third of the recipe's steps, 8 trials, scores with less effort; --set "
            "and --trials are kept."
        ),
    ] = options.EffortName.full,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the search.")] = 0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the study in --out."),
    ] = False,
    held_out: Annotated[
        float,
        typer.Option(help="Share of the images that score trials and are not trained on."),
    ] = 0.2,
    trusted: Annotated[
        list[str] | None,
        typer.Option(help="A checkpoint that was never attacked, as a reference; repeatable."),
        Kind.CHECKPOINT,
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="KEY=VALUES",
            rich_help_panel=_SPACE,
            help="Search a recipe key: uniform(a,b), loguniform(a,b), int(a,b), choice(a,b,...), "
            "zero_or_uniform, zero_or_loguniform; repeatable. Or a \\[search] table in the recipe.",
        ),
    ] = None,
    only_these: Annotated[
        bool,
        typer.Option(
            "--only-these", rich_help_panel=_SPACE, help="Search only the keys of --search."
        ),
    ] = False,
    early_stopping: Annotated[
        bool,
        typer.Option(rich_help_panel=_SPACE, help="Stop unpromising trials early."),
    ] = True,
    failed_share: Annotated[
        float,
        typer.Option(rich_help_panel=_SPACE, help="Share of failed trials to accept."),
    ] = 0.25,
    track: options.Track = None,
    workers: Annotated[
        int,
        typer.Option(min=1, rich_help_panel="Where", help="Ray Train workers per trial."),
        Kind.WORKERS,
    ] = 1,
    cpus_per_worker: Annotated[
        int,
        typer.Option(min=1, rich_help_panel="Where", help="CPUs per worker."),
        Kind.CPUS_PER_WORKER,
    ] = 1,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0, rich_help_panel="Where", help="GPUs per worker; below 1, trials share a GPU."
        ),
        Kind.GPUS_PER_WORKER,
    ] = None,
    concurrent_trials: Annotated[
        int, typer.Option(min=0, rich_help_panel="Where", help="Parallel trials; 0: all that fit.")
    ] = 0,
    address: options.Address = None,
    wait_for_capacity: options.WaitForCapacity = 0,
    normalise: options.Normalise = None,
    mean: options.Mean = None,
    std: options.Std = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    yes: options.Yes = False,
    oracle: Annotated[
        bool,
        typer.Option(
            "--oracle",
            rich_help_panel=_ORACLE,
            help="Also report ACC and ASR.",
        ),
    ] = False,
    train: Annotated[
        str | None,
        typer.Option(rich_help_panel=_ORACLE, help="Labelled images to train heads on."),
        Kind.IMAGES,
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(rich_help_panel=_ORACLE, help="Labelled images to test heads on."),
        Kind.IMAGES,
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(rich_help_panel=_ORACLE, help="The trigger, as for mimic-ray evaluate."),
        Kind.TRIGGER,
    ] = None,
    target: Annotated[
        str | None, typer.Option(rich_help_panel=_ORACLE, help="Target class: name or index.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Search for the recipe that purifies an encoder best, with clean, unlabelled images only.

    Example: mimic-ray tune --encoder vit_b16 --teacher suspect.pth --data shards/ --out study
    """
    known = _oracle(oracle, {"train": train, "test": test, "trigger": trigger, "target": target})
    from mimic_ray.cli.study_table import shown_study
    from mimic_ray.search.search_progress import SearchProgress
    from mimic_ray.workflows.search_request import Oracle
    from mimic_ray.workflows.tune import tune

    resources = Resources(
        workers=workers,
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        address=address,
        capacity_timeout_s=wait_for_capacity,
        concurrent_trials=concurrent_trials,
    )
    with ExitStack() as preparing, shown_study() as show:
        on_progress = preparing.enter_context(console.progress())

        def on_search_progress(progress: SearchProgress) -> None:
            preparing.close()  # the table replaces the progress bars
            show(progress)

        found = tune(
            options.with_settings(encoder, normalise, mean, std, weights),
            teacher,
            data,
            out,
            recipe=recipe,
            settings=setting or [],
            search=search or [],
            only_these=only_these,
            effort=effort.value,
            trials=trials,
            held_out=held_out,
            seed=seed,
            resources=resources,
            resume=resume,
            early_stopping=early_stopping,
            failed_share=failed_share,
            trusted=trusted or [],
            oracle=Oracle(**known) if known else None,
            trackers=track or [],
            device=device,
            threads=threads,
            yes=yes or can_ask(),
            on_progress=with_run_location_note(on_progress, resources, can_be_in_process=False),
            on_cost=cost_question(yes, effort.value),
            on_search_progress=on_search_progress,
            command=console.mode.command,
        )
    for note in found.record.notes:
        console.note(f"note: {note}")
    if json:
        console.print_json({"study": found.study, "best": found.best, "chosen": vars(found.chosen)})
        return
    _print(found)


def _print(found: Tuned) -> None:
    from mimic_ray.report.study_report import purify_command
    from mimic_ray.report.tables import front_table

    console.out.print(front_table(found.front, found.chosen))
    console.out.print(
        f"{found.study}: {len(found.trials)} trials. The table shows the Pareto front of all "
        "objectives; * marks the chosen trial.",
        soft_wrap=True,
    )
    console.out.print(f"  best recipe  {found.best}", soft_wrap=True)
    console.out.print(f"  report       {found.report}", soft_wrap=True)
    command = purify_command(vars(found.record), found.best)
    console.out.print(f"Purify with it: {command}", soft_wrap=True)


def _oracle(is_oracle: bool, values: dict[str, str | None]) -> dict[str, str]:
    """The values of the oracle's options; {} without an oracle."""
    given = {name: value for name, value in values.items() if value is not None}
    if is_oracle and len(given) < len(values):
        missing = ", ".join(f"--{name}" for name in values if name not in given)
        raise UsageError(f"--oracle also needs {missing}.")
    if given and not is_oracle:
        raise UsageError(f"--{next(iter(given))} needs --oracle.")
    return given
