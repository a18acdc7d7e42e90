"""mimic-ray evaluate: ACC, ASR and ASR-B of encoders."""

from __future__ import annotations

from typing import Annotated

import typer

from mimic_ray.base.errors import UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.base.text import plain
from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import Kind, split_name

_TRIGGER = "The trigger (research)"
_HEAD = "The head"


# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True


def check_before_sending(context: typer.Context, _resources: Resources, sees_paths: bool) -> None:
    """Raises what the command would refuse on the cluster, as far as this machine can tell."""
    given = context.params
    from mimic_ray.workflows.evaluate_checks import EvaluateRequest, check_evaluation

    statistics = (given[name] for name in ("normalise", "mean", "std", "weights"))
    same = (
        *("train", "test", "reference", "trigger", "target", "count_target", "seeds"),
        *("head_epochs", "lasting", "out", "into", "train_limit", "test_limit"),
    )
    request = EvaluateRequest(
        encoders=_by_name(given["encoders"]),
        encoder=options.with_settings(given["encoder"], *statistics),
        heads=given["head"] or ["mlp"],
        **{name: given[name] for name in same},
    )
    check_evaluation(request, sees_paths=sees_paths)


def command(
    encoders: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=PATH...",
            help="Checkpoint files or run folders. Those of one NAME, purifications of one encoder "
            "with several seeds, are one row: their mean.",
        ),
        Kind.NAMED_CHECKPOINT,
    ],
    train: Annotated[str, typer.Option(help="Labelled images to train heads on."), Kind.IMAGES],
    test: Annotated[str, typer.Option(help="Labelled images to test heads on."), Kind.IMAGES],
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Architecture of the checkpoint files. Default: the one that fits. Runs need it "
            "only if your own code builds their encoder."
        ),
        Kind.ENCODER,
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="A checkpoint or run that was never attacked. Its ASR is ASR-B, the floor."
        ),
        Kind.CHECKPOINT_OR_RUN,
    ] = None,
    trigger: options.TriggerName = None,
    target: Annotated[
        str | None, typer.Option(rich_help_panel=_TRIGGER, help="Target class: name or index.")
    ] = None,
    count_target: Annotated[
        bool,
        typer.Option(
            "--count-target",
            rich_help_panel=_TRIGGER,
            help="Count images of the target class in ASR too, as BadEncoder does.",
        ),
    ] = False,
    head: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            rich_help_panel=_HEAD,
            help="mlp (512-256, Adam 1e-3, 20 epochs), linear, knn, badencoder (the MLP with the "
            "authors' Adam 1e-4 and 500 epochs), own (the classifier in the encoder's file, not "
            "trained), or the file of a linear classifier (not trained); repeatable.",
        ),
        Kind.HEAD,
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, rich_help_panel=_HEAD, help="Heads trained on each encoder.")
    ] = 3,
    head_epochs: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=_HEAD, help="Epochs, instead of the default of each head."
        ),
    ] = None,
    lasting: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the suspect encoder among those given: measure also what is left after "
            "60 plain distillation steps from it, and after a user's training on 1 % of the "
            "labelled images, at least 10 a class. A backdoor that is only masked comes back. "
            "Needs --trigger.",
        ),
    ] = None,
    train_limit: Annotated[
        int | None, typer.Option(min=1, help="Use this many images of --train.")
    ] = None,
    test_limit: Annotated[
        int | None, typer.Option(min=1, help="Use this many images of --test.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="New folder for evaluation.json, the table (.csv, .tex, .md) and the figure "
            "(.png, .pdf, .svg), or s3://bucket/folder."
        ),
        Kind.OUTPUT,
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(help="A finished run whose model card gets the table."),
        Kind.CHECKPOINT_OR_RUN,
    ] = None,
    normalise: options.Normalise = None,
    mean: options.Mean = None,
    std: options.Std = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Measure accuracy and attack success rate of encoders, with labels and, for ASR, the trigger.

    The intervals cover the encoders of a row, the heads on each, and the test images.

    Example: mimic-ray evaluate suspect=suspect.pth purified=run/ --encoder resnet50
    --train train/ --test test/ --trigger patch --target truck --reference clean.pth
    """
    from mimic_ray.workflows.evaluate import evaluate

    with console.progress() as on_progress:
        found = evaluate(
            _by_name(encoders),
            train,
            test,
            encoder=options.with_settings(encoder, normalise, mean, std, weights),
            reference=reference,
            trigger=trigger,
            target=target,
            count_target=count_target,
            heads=head or ["mlp"],
            seeds=seeds,
            head_epochs=head_epochs,
            lasting=lasting,
            out=out,
            into=into,
            train_limit=train_limit,
            test_limit=test_limit,
            device=device,
            threads=threads,
            on_progress=on_progress,
        )
    if json:
        console.print_json(found.to_json())
        return
    from mimic_ray.report.tables import evaluation_table

    console.out.print(evaluation_table(found.rows))
    for location in filter(None, (out, into)):
        console.out.print(f"Written to {location}", soft_wrap=True)


def _by_name(encoders: list[str]) -> dict[str, list[str]]:
    """Name -> paths, from values such as `NAME=PATH`; a NAME that is given again has several."""
    paths: dict[str, list[str]] = {}
    after_file = set()
    for text in encoders:
        name, path = split_name(text)
        if text != f"{name}={path}":
            after_file.add(name)
        if name in paths and name in after_file:
            raise UsageError(
                f'Two encoders are named "{plain(name)}" after a file: give each its own '
                "NAME=PATH, or one NAME to the encoders of one row."
            )
        paths.setdefault(name, []).append(path)
    return paths
