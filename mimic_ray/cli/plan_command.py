"""mimic-ray plan: memory, time and cost of a run on a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import Kind
from mimic_ray.cli.table_option import TableFile, write_if_wanted

_GPUS = "a100, a100_40, h100, h200, l4, l40s, a10g, t4, v100 or rtx4090."
_SCALE, _LOADER = "Scale", "Loader"


def command(
    encoder: Annotated[
        str,
        typer.Option(
            help="Architecture: a name of `mimic-ray encoders`, any timm name, with an input size "
            "as in vit_b16@384, or file.py:function."
        ),
        Kind.ENCODER,
    ],
    gpus: Annotated[int, typer.Option(help="Number of GPUs, one worker each.")] = 1,
    gpu: Annotated[str, typer.Option(help=_GPUS)] = "h100",
    images: Annotated[int, typer.Option(help="Number of clean images.")] = 50_000,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = 100,
    batch: Annotated[
        int, typer.Option(help="Images per GPU and step; 0: the largest power of two up to 128.")
    ] = 0,
    strategy: Annotated[
        str, typer.Option(help="auto, ddp or fsdp.", rich_help_panel=_SCALE)
    ] = "auto",
    teacher_placement: Annotated[
        str, typer.Option(help="auto, replicated or sharded (fsdp).", rich_help_panel=_SCALE)
    ] = "auto",
    recipe: options.RecipeName = "auto",
    setting: options.Setting = None,
    source: Annotated[
        str,
        typer.Option(
            help="Location of the images: local (a disk per node) or object (storage such as S3).",
            rich_help_panel=_LOADER,
        ),
    ] = "local",
    read_mb_s: Annotated[
        float,
        typer.Option(
            help="MB/s that a node reads; 0: the rate of --source.", rich_help_panel=_LOADER
        ),
    ] = 0,
    image_bytes: Annotated[
        int, typer.Option(help="Mean JPEG size; 31400 at 256 pixels.", rich_help_panel=_LOADER)
    ] = 31_400,
    utilisation: Annotated[
        float,
        typer.Option(
            help="Share of the peak FLOP/s that a step reaches; published runs on H100: 0.22-0.29."
        ),
    ] = 0.25,
    price_per_hour: Annotated[
        float | None, typer.Option(help="Price of one GPU-hour, in any currency.")
    ] = None,
    table: TableFile = None,
    json: options.Json = False,
) -> None:
    """Estimate what a run needs: FLOPs, memory, images/s, loading, time and cost.

    Recipe keys such as training.accumulate and training.checkpoint_activations are set by --set.

    Example: mimic-ray plan --encoder vit_b16 --gpus 64 --gpu h100 --images 64000 --epochs 100
    """
    from mimic_ray.cli.plan_table import closing, strategy_table, summary
    from mimic_ray.workflows.plan import plan

    found = plan(
        encoder,
        gpus=gpus,
        gpu=gpu,
        images=images,
        epochs=epochs,
        batch=batch,
        strategy=strategy,
        teacher_placement=teacher_placement,
        recipe=recipe,
        settings=setting or (),
        source=source,
        read_mb_s=read_mb_s,
        image_bytes=image_bytes,
        utilisation=utilisation,
        price_per_hour=price_per_hour,
    )
    strategies = strategy_table(found)
    write_if_wanted(table, strategies)
    if json:
        console.print_json(found.to_json())
        return
    for line in summary(found):
        console.out.print(line)
    console.out.print(strategies)
    for line in closing(found):
        console.out.print(line)
