"""mimic-ray compare: defences on one suspect encoder, in one table."""

from __future__ import annotations

from typing import Annotated

import typer

from mimic_ray.base.resources import Resources
from mimic_ray.cli import console, options
from mimic_ray.cli.cost_question import can_ask, cost_question
from mimic_ray.cli.option_kinds import Kind
from mimic_ray.cli.run_location_note import with_run_location_note

_RULE = "Strength"
_LABELS = "Labels and trigger (research)"

# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True


def check_before_sending(context: typer.Context, _resources: Resources, sees_paths: bool) -> None:
    """Raises what the command would refuse on the cluster, as far as this machine can tell."""
    given = context.params
    from mimic_ray.workflows.compare_checks import check_comparison
    from mimic_ray.workflows.compare_request import compare_request

    same = (
        *("train", "test", "trigger", "target", "count_target", "reference", "seeds", "head"),
        *("head_seeds", "lasting", "stop_rule", "curves", "held_out", "train_limit", "test_limit"),
        *("device", "threads", "yes"),
    )
    request = compare_request(
        options.encoder_of_job(given, sees_paths=sees_paths),
        given["teacher"],
        given["data"],
        defences=given["defence"] or [],
        resources=None,
        command="",
        **{name: given[name] for name in same},
    )
    check_comparison(request, given["out"], resume=given["resume"], sees_paths=sees_paths)


def command(
    *,
    encoder: options.Encoder = None,
    teacher: options.Teacher,
    data: options.Data,
    out: Annotated[str, typer.Option(help="Folder to create, or s3://bucket/folder."), Kind.OUTPUT],
    defence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A defence, with settings as in nad:steps=100, or your own file.py:function; "
            "repeatable. Default: all.",
        ),
        Kind.DEFENCE,
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Purifications by each defence.")] = 3,
    held_out: Annotated[
        float,
        typer.Option(
            help="Share of the clean images that only measures fidelity (32 to 500 images)."
        ),
    ] = 0.1,
    stop_rule: Annotated[
        bool,
        typer.Option(
            rich_help_panel=_RULE,
            help="Report each defence at its strongest strength whose mean cosine to the suspect "
            "encoder on held-out images is not lower than that of default; else at its own "
            "settings.",
        ),
    ] = True,
    curves: Annotated[
        bool,
        typer.Option("--curves", rich_help_panel=_RULE, help="Run all declared strengths."),
    ] = False,
    train: Annotated[
        str | None,
        typer.Option(rich_help_panel=_LABELS, help="Labelled images to train heads on."),
        Kind.IMAGES,
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(rich_help_panel=_LABELS, help="Labelled images to test heads on."),
        Kind.IMAGES,
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(rich_help_panel=_LABELS, help=options.TRIGGER_HELP),
        Kind.TRIGGER,
    ] = None,
    target: Annotated[
        str | None, typer.Option(rich_help_panel=_LABELS, help="Target class: name or index.")
    ] = None,
    count_target: Annotated[
        bool,
        typer.Option(
            "--count-target",
            rich_help_panel=_LABELS,
            help="Count images of the target class in ASR too, as BadEncoder does.",
        ),
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_LABELS,
            help="A checkpoint or run that was never attacked. Its ASR is ASR-B, the floor.",
        ),
        Kind.CHECKPOINT_OR_RUN,
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            rich_help_panel=_LABELS,
            help="mlp, linear, knn, badencoder; not trained: own, the classifier in the suspect "
            "file, or the file of a linear classifier.",
        ),
        Kind.HEAD,
    ] = "mlp",
    head_seeds: Annotated[
        int, typer.Option(min=1, rich_help_panel=_LABELS, help="Heads trained on each encoder.")
    ] = 3,
    lasting: Annotated[
        bool,
        typer.Option(
            rich_help_panel=_LABELS,
            help="Also measure after 60 plain distillation steps, and after a user's fine-tuning "
            "on 1 % of the labelled images.",
        ),
    ] = True,
    train_limit: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_LABELS, help="Use this many images of --train."),
    ] = None,
    test_limit: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=_LABELS, help="Use this many images of --test."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the comparison in --out.")
    ] = False,
    cpus_per_worker: Annotated[
        int,
        typer.Option(min=1, rich_help_panel="Where", help="CPUs for one run on a cluster."),
        Kind.CPUS_PER_WORKER,
    ] = 1,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0,
            rich_help_panel="Where",
            help="GPUs for one run on a cluster; below 1, runs share a GPU.",
        ),
        Kind.GPUS_PER_WORKER,
    ] = None,
    address: options.Address = None,
    wait_for_capacity: options.WaitForCapacity = 0,
    normalise: options.Normalise = None,
    mean: options.Mean = None,
    std: options.Std = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Compare defences on one suspect encoder, under one rule for their strength.

    Example: mimic-ray compare --encoder resnet50 --teacher suspect.pth --data images/
    --train train/ --test test/ --trigger patch --target truck --out compared
    """
    from mimic_ray.workflows.compare import compare

    resources = Resources(
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        address=address,
        local=address is None,
        capacity_timeout_s=wait_for_capacity,
    )
    with console.progress() as on_progress:
        found = compare(
            options.with_settings(encoder, normalise, mean, std, weights),
            teacher,
            data,
            out,
            defences=defence or [],
            train=train,
            test=test,
            trigger=trigger,
            target=target,
            count_target=count_target,
            reference=reference,
            seeds=seeds,
            head=head,
            head_seeds=head_seeds,
            lasting=lasting,
            stop_rule=stop_rule,
            curves=curves,
            held_out=held_out,
            resources=resources,
            train_limit=train_limit,
            test_limit=test_limit,
            resume=resume,
            device=device,
            threads=threads,
            yes=yes or can_ask(),
            on_progress=with_run_location_note(on_progress, resources),
            on_cost=cost_question(yes),
            command=console.mode.command,
        )
    if json:
        console.print_json(found.to_json())
        return
    from mimic_ray.report.comparison_tables import comparison_table

    console.out.print(comparison_table(found.chosen()))
    console.out.print(f"Written to {found.folder}", soft_wrap=True)
