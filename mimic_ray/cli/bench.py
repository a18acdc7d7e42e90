"""mimic-ray bench: our speed against the plain way, as ratios of one run on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mimic_ray.cli import console, options

if TYPE_CHECKING:
    from mimic_ray.workflows.bench_ratio import Ratio

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Measure our speed against the plain way, as ratios of one run. Absolute seconds depend "
    "on the machine and on what else it does.",
)
Name = Annotated[str, typer.Option("--encoder", help="Small ones give an answer in a minute.")]


@app.command()
def step(encoder: Name = "cifar_resnet20", json: options.Json = False) -> None:
    """The authors' training step over ours."""
    from mimic_ray.workflows.bench_step import bench_step

    _show(bench_step(encoder), json)


@app.command()
def mi(encoder: Name = "cifar_resnet20", json: options.Json = False) -> None:
    """The authors' mutual information estimate over ours."""
    from mimic_ray.workflows.bench_mi import bench_mi

    _show(bench_mi(encoder), json)


@app.command()
def loader(json: options.Json = False) -> None:
    """webdataset's default decoding over ours."""
    from mimic_ray.workflows.bench_loader import bench_loader

    _show(bench_loader(), json)


@app.command()
def augment(json: options.Json = False) -> None:
    """The authors' PIL and torchvision transform over ours."""
    from mimic_ray.workflows.bench_augment import bench_augment

    _show(bench_augment(), json)


def _show(ratios: list[Ratio], json: bool) -> None:
    if json:
        console.print_json([vars(ratio) | {"ratio": ratio.ratio} for ratio in ratios])
        return
    from rich.table import Table

    table = Table("what", "plain s", "ours s", "ratio", "promised", box=None, pad_edge=False)
    for ratio in ratios:
        promised = f">= {ratio.wanted:g}" if ratio.wanted else ""
        table.add_row(
            ratio.name,
            f"{ratio.plain_s:.4g}",
            f"{ratio.ours_s:.4g}",
            f"x{ratio.ratio:.1f}",
            promised,
        )
    console.out.print(table)
    for detail in dict.fromkeys(ratio.detail for ratio in ratios):
        console.out.print(f"  {detail}")
