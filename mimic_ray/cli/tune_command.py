"""mimic-ray tune: search the recipe."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from mimic_ray.base.errors import UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import Kind

_SPACE = "What is searched"
_ORACLE = "The oracle (research)"


# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True


def command(
    encoder: options.Encoder,
    teacher: options.Teacher,
    data: options.Data,
    out: Annotated[
        str, typer.Option(help="Study folder to create, or s3://bucket/study."), Kind.OUTPUT
    ],
    trials: Annotated[int, typer.Option(min=1, help="Trials, those of a resumed study too.")] = 16,
    recipe: options.RecipeName = "auto",
    setting: options.Setting = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the search itself.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study in --out; ended trials stay.")
    ] = False,
    held_out: Annotated[
        float, typer.Option(help="Share of the images that scores are read from, never trained on.")
    ] = 0.2,
    trusted: Annotated[
        list[str] | None,
        typer.Option(help="A checkpoint that no attacker touched, to compare with; repeatable."),
        Kind.CHECKPOINT,
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="KEY=VALUES",
            rich_help_panel=_SPACE,
            help="Adds a recipe key: uniform(a,b), loguniform(a,b), int(a,b), choice(a,b,...), "
            "zero_or_uniform, zero_or_loguniform; repeatable. Or a \\[search] table in the recipe.",
        ),
    ] = None,
    only_these: Annotated[
        bool,
        typer.Option(
            "--only-these", rich_help_panel=_SPACE, help="Search no other key than those."
        ),
    ] = False,
    early_stopping: Annotated[
        bool,
        typer.Option(rich_help_panel=_SPACE, help="End unpromising trials at 1/4 and 1/2."),
    ] = True,
    failed_share: Annotated[
        float, typer.Option(rich_help_panel=_SPACE, help="More failed trials than this end it.")
    ] = 0.25,
    track: Annotated[
        list[str] | None,
        typer.Option(help="Also report to mlflow or wandb; TensorBoard files are always written."),
    ] = None,
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
        int, typer.Option(min=0, rich_help_panel="Where", help="Trials at once; 0 is all that fit.")
    ] = 0,
    address: options.Address = None,
    wait_for_capacity: options.WaitForCapacity = 0,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    oracle: Annotated[
        bool,
        typer.Option("--oracle", rich_help_panel=_ORACLE, help="Also measure ACC and ASR."),
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
        typer.Option(rich_help_panel=_ORACLE, help="As in mimic-ray evaluate."),
        Kind.TRIGGER,
    ] = None,
    target: Annotated[str | None, typer.Option(rich_help_panel=_ORACLE)] = None,
    json: options.Json = False,
) -> None:
    """Search the recipe that purifies an encoder best, from clean, unlabelled images alone.

    Example: mimic-ray tune --encoder vit_b16 --teacher suspect.pth --data shards/ --out study
    """
    known = _oracle(oracle, {"train": train, "test": test, "trigger": trigger, "target": target})
    from mimic_ray.cli.study_table import shown_study
    from mimic_ray.search.search_progress import SearchProgress
    from mimic_ray.workflows.search_request import Oracle
    from mimic_ray.workflows.tune import tune

    with ExitStack() as preparing, shown_study() as show:
        on_progress = preparing.enter_context(console.progress())

        def on_search_progress(progress: SearchProgress) -> None:
            preparing.close()  # the bars of the preparation
            show(progress)

        found = tune(
            encoder,
            teacher,
            data,
            out,
            recipe=recipe,
            settings=setting or [],
            search=search or [],
            only_these=only_these,
            trials=trials,
            held_out=held_out,
            seed=seed,
            resources=Resources(
                workers=workers,
                cpus_per_worker=cpus_per_worker,
                gpus_per_worker=gpus_per_worker,
                address=address,
                capacity_timeout_s=wait_for_capacity,
                concurrent_trials=concurrent_trials,
            ),
            resume=resume,
            early_stopping=early_stopping,
            failed_share=failed_share,
            trusted=trusted or [],
            oracle=Oracle(**known) if known else None,
            trackers=track or [],
            device=device,
            threads=threads,
            on_progress=on_progress,
            on_search_progress=on_search_progress,
            command=console.mode.command,
        )
    if json:
        console.print_json({"study": found.study, "best": found.best, "chosen": vars(found.chosen)})
        return
    from mimic_ray.report.tables import front_table

    console.out.print(front_table(found.front, found.chosen))
    console.out.print(
        f"{found.study}: {len(found.trials)} trials; above, those that none beats in both "
        "scores, * the chosen one",
        soft_wrap=True,
    )
    console.out.print(f"  the chosen recipe  {found.best}", soft_wrap=True)
    console.out.print(f"  what was found     {found.report}", soft_wrap=True)
    console.out.print(
        f"Purify with it: mimic-ray purify --encoder {encoder} --teacher {teacher} --data {data} "
        f"--config {found.best} --out purified",
        soft_wrap=True,
    )


def _oracle(wanted: bool, given: dict[str, str | None]) -> dict[str, str]:
    """What the oracle knows; {} without one."""
    named = {key: value for key, value in given.items() if value is not None}
    if wanted and len(named) < len(given):
        missing = ", ".join(f"--{key}" for key in given if key not in named)
        raise UsageError(f"--oracle also needs {missing}.")
    if named and not wanted:
        raise UsageError(
            f"--{next(iter(named))} is for --oracle alone: a defender has no trigger and no labels."
        )
    return named
