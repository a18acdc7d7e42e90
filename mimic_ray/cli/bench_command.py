"""mimic-ray bench: training speed on your machines, by workers and by options."""

from __future__ import annotations

from typing import Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import CheckedCommand, Kind
from mimic_ray.cli.table_option import TableFile, write_if_wanted
from mimic_ray.cli.worker_numbers import parse_worker_counts

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Measure training speed on your machines, as ratios within one run. Absolute seconds "
    "depend on the hardware and on its load.",
)
Name = Annotated[
    str,
    typer.Option("--encoder", help="Encoder to measure; small ones take about a minute."),
    Kind.ENCODER,
]


@app.command(name="options", cls=CheckedCommand)
def large_encoders(
    encoder: Name = "resnet18",
    batch: Annotated[int, typer.Option(min=4, help="Images per step.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Number of steps; the median counts.")] = 5,
    device: options.Device = "cpu",
    table: TableFile = None,
    json: options.Json = False,
) -> None:
    """Time and memory of bf16, accumulation, activation checkpointing and torch.compile."""
    from mimic_ray.cli.bench_tables import options_table
    from mimic_ray.workflows.bench_options import bench_options

    effects = bench_options(encoder, batch, rounds, device)
    made = options_table(effects)
    write_if_wanted(table, made)
    if json:
        console.print_json([vars(effect) for effect in effects])
        return
    console.out.print(made)


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
    table: TableFile = None,
    json: options.Json = False,
) -> None:
    """Images per second by number of workers, with a fixed batch (strong) and a growing one (weak).

    Example: mimic-ray bench scaling --workers 1,2,4,8 --gpus-per-worker 1 --address auto
    """
    from mimic_ray.base.resources import Resources
    from mimic_ray.cli.bench_tables import scaling_table
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
    made = scaling_table(points)
    write_if_wanted(table, made)
    if json:
        console.print_json([vars(point) for point in points])
        return
    console.out.print(made)
