"""mimic-ray purify: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mimic_ray.cli import console, options


def command(
    encoder: options.Encoder,
    teacher: options.Teacher,
    data: options.Data,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    recipe: options.RecipeName = "default",
    setting: options.Setting = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same result.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last committed step in --out.")
    ] = False,
    commit_every: Annotated[int, typer.Option(min=1, help="Steps between two commits.")] = 100,
    workers: Annotated[
        int, typer.Option(min=1, rich_help_panel="Where", help="Ray Train workers.")
    ] = 1,
    local: Annotated[
        bool, typer.Option("--local", rich_help_panel="Where", help="This process, no Ray.")
    ] = False,
    cpus_per_worker: Annotated[
        int, typer.Option(min=0, rich_help_panel="Where", help="0 shares out this machine's.")
    ] = 0,
    gpus_per_worker: Annotated[int, typer.Option(min=0, rich_help_panel="Where")] = 0,
    address: options.Address = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Purify a suspect encoder with a few thousand clean, unlabelled images.

    Example: mimic-ray purify --encoder resnet50 --teacher suspect.pth --data images/ --out purified
    """
    from mimic_ray.cli.progress import shown_progress
    from mimic_ray.workflows.purify import Workers, purify

    with shown_progress() as tell:
        result = purify(
            encoder,
            teacher,
            data,
            out,
            recipe=recipe,
            settings=setting or [],
            seed=seed,
            workers=Workers(workers, local, cpus_per_worker, gpus_per_worker, address),
            resume=resume,
            device=device,
            threads=threads,
            commit_every=commit_every,
            tell=tell,
        )
    for warning in result.warnings:
        console.err.print(f"[yellow]note:[/] {warning}")
    if json:
        console.print_json({"run": result.run, "export": result.export, **vars(result.record)})
        return
    console.out.print(f"Purified in {result.record.train_s:.0f} s: {result.run}")
    console.out.print(f"  for your own code  {result.export}", soft_wrap=True)
    console.out.print(
        f"  for Python         mimic_ray.load_encoder('{result.run}')", soft_wrap=True
    )
    console.out.print(f"  what was done      {result.run / 'README.md'}", soft_wrap=True)
    console.out.print(
        "No recipe guarantees against every kind of trigger: the model card says which this one "
        "imitates."
    )
