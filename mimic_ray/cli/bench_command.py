"""mimic-ray bench: training speed on your machines, by workers and by options."""

from __future__ import annotations

from typing import Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import CheckedCommand, Kind
from mimic_ray.cli.worker_numbers import parse_worker_counts

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Measure training speed on your machines, as ratios within one run. Absolute seconds "
    "depend on the hardware and on its load.",
)
Name = Annotated[
    str, typer.Option("--encoder", help="Small ones take about a minute."), Kind.ENCODER
]


@app.command(name="options", cls=CheckedCommand)
def large_encoders(
    encoder: Name = "resnet18",
    batch: Annotated[int, typer.Option(min=4, help="Images per step.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Number of steps; the median counts.")] = 5,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Time and memory of bf16, accumulation, activation checkpointing and torch.compile."""
    from mimic_ray.workflows.bench_options import bench_options

    effects = bench_options(encoder, batch, rounds, device)
    if json:
        console.print_json([vars(effect) for effect in effects])
        return
    from rich.table import Table

    plain = effects[0]
    titles = "option", "step s", "time", "saved MiB", "memory", "first step s"
    table = Table(*titles, box=None, pad_edge=False)
    for effect in effects:
        table.add_row(
            effect.option,
            f"{effect.step_s:.3g}",
            f"x{effect.step_s / plain.step_s:.2f}",
            f"{effect.saved_bytes / 2**20:.0f}",
            f"x{effect.saved_bytes / plain.saved_bytes:.2f}",
            f"{effect.first_step_s:.3g}",
        )
    console.out.print(table)
    for note in [note for effect in effects for note in effect.notes]:
        console.out.print(f"  {note}")


@app.command(cls=CheckedCommand)
def scaling(
    workers: Annotated[str, typer.Option(help="Numbers of workers, such as 1,2,4.")] = "1,2",
    encoder: Name = "cifar_resnet20",
    recipe: options.RecipeName = "default",
    setting: options.Setting = None,
    steps: Annotated[
        int, typer.Option(min=1, help="Steps to measure, after 3 warm-up steps.")
    ] = 20,
    cpus_per_worker: Annotated[
        int, typer.Option(min=1, rich_help_panel="Where", help="CPUs per worker.")
    ] = 1,
    gpus_per_worker: options.GpusPerWorker = 0,
    address: options.Address = None,
    strategy: options.Strategy = "ddp",
    teacher_placement: options.TeacherPlacement = "replicated",
    json: options.Json = False,
) -> None:
    """Images per second by number of workers, with a fixed batch (strong) and a growing one (weak).

    Example: mimic-ray bench scaling --workers 1,2,4,8 --gpus-per-worker 1 --address auto
    """
    from mimic_ray.base.resources import Resources
    from mimic_ray.workflows.bench_scaling import bench_scaling

    resources = Resources(
        cpus_per_worker=cpus_per_worker,
        gpus_per_worker=gpus_per_worker,
        address=address,
        strategy=strategy,
        teacher_placement=teacher_placement,
    )
    points = bench_scaling(
        encoder,
        parse_worker_counts(workers),
        resources,
        recipe=recipe,
        settings=setting or [],
        steps=steps,
    )
    if json:
        console.print_json([vars(point) for point in points])
        return
    from rich.table import Table

    table = Table("scaling", "workers", "batch", "images/s", "efficiency", box=None, pad_edge=False)
    for point in points:
        rate, share = f"{point.images_per_s:.4g}", f"{point.efficiency:.2f}"
        table.add_row(point.scaling, str(point.workers), str(point.batch), rate, share)
    console.out.print(table)
