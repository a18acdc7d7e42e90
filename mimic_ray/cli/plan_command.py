"""mimic-ray plan: memory, time and cost on a cluster, before it is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mimic_ray.cli import console, options

if TYPE_CHECKING:
    from mimic_ray.workflows.plan import Plan
    from mimic_ray.workflows.plan_step import Calibration

_GPUS = "a100, a100_40, h100, h200, l4, a10g, t4, v100, rtx4090, or cpu: this machine, measured."


def command(
    encoder: options.Encoder,
    gpus: Annotated[int, typer.Option(help="Devices in all, a worker each.")] = 1,
    gpu: Annotated[str, typer.Option(help=_GPUS)] = "h100",
    images: Annotated[int, typer.Option(help="Clean images.")] = 50_000,
    epochs: Annotated[int, typer.Option(help="Passes over them.")] = 100,
    batch: Annotated[
        int, typer.Option(help="Images a GPU and step; 0: the largest power of two up to 128.")
    ] = 0,
    strategy: Annotated[
        str, typer.Option(help="auto, ddp or fsdp; the table shows all.", rich_help_panel="Scale")
    ] = "auto",
    teacher: Annotated[
        str, typer.Option(help="auto, replicated or sharded (fsdp).", rich_help_panel="Scale")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, bf16 or fp32.", rich_help_panel="Scale")
    ] = "auto",
    accumulate: Annotated[
        int, typer.Option(help="Parts of a step's batch in turn.", rich_help_panel="Scale")
    ] = 1,
    checkpoint_activations: Annotated[
        bool, typer.Option("--checkpoint-activations", rich_help_panel="Scale")
    ] = False,
    recipe: options.RecipeName = "default",
    setting: options.Setting = None,
    source: Annotated[
        str,
        typer.Option(
            help="Where images lie: local (a disk a node) or object (storage, at S3's rates).",
            rich_help_panel="Loader",
        ),
    ] = "local",
    read_mb_s: Annotated[
        float,
        typer.Option(help="MB/s that a node reads; 0: by --source.", rich_help_panel="Loader"),
    ] = 0,
    image_bytes: Annotated[
        int, typer.Option(help="Mean JPEG size; 31400 at 256 pixels.", rich_help_panel="Loader")
    ] = 31_400,
    utilisation: Annotated[
        float, typer.Option(help="Share of the peak that a step reaches.")
    ] = 0.4,
    price_per_hour: Annotated[
        float | None, typer.Option(help="Of one GPU, in any currency; no default.")
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Measure a real step of --batch images (8 unless set) here as well."
        ),
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Say what a run needs of a cluster: FLOPs, memory, images/s, loader, time and cost.

    Example: mimic-ray plan --encoder vit_b16 --gpus 64 --gpu h100 --images 64000 --epochs 100
    """
    from mimic_ray.workflows.plan import plan
    from mimic_ray.workflows.plan_step import calibration

    found = plan(
        encoder,
        gpus=gpus,
        gpu=gpu,
        images=images,
        epochs=epochs,
        batch=batch,
        strategy=strategy,
        teacher=teacher,
        precision=precision,
        accumulate=accumulate,
        checkpoint_activations=checkpoint_activations,
        recipe=recipe,
        settings=setting or (),
        source=source,
        read_mb_s=read_mb_s,
        image_bytes=image_bytes,
        utilisation=utilisation,
        price_per_hour=price_per_hour,
        threads=threads,
    )
    measured = None
    if calibrate:
        measured = calibration(
            encoder,
            # A step of what is planned, unless that would take this machine minutes.
            batch or min(found.batch, 8),
            device=device,
            precision=precision,
            threads=threads,
            checkpoint_activations=checkpoint_activations,
            recipe=recipe,
            settings=setting or [],
        )
    if json:
        content = found.to_json()
        console.print_json({**content, "calibration": measured and measured.to_json()})
        return
    _show(found)
    if measured:
        _show_calibration(measured)


def _show(found: Plan) -> None:
    from mimic_ray.cli.plan_table import closing, strategy_table, summary

    for line in summary(found):
        console.out.print(line, markup=False)
    console.out.print(strategy_table(found))
    for line in closing(found):
        console.out.print(line, markup=False)


def _show_calibration(measured: Calibration) -> None:
    rates = measured.rates
    console.out.print(
        f"This machine ({rates.device}, {rates.precision}): matrix peak "
        f"{rates.matrix_peak / 1e9:,.0f} GFLOP/s. A step of {measured.batch} images takes "
        f"{measured.step_s:.3g} s, predicted {measured.predicted_s:.3g} s; model FLOPs utilisation "
        f"{100 * measured.utilisation:.0f} % of that peak.",
        markup=False,
    )
