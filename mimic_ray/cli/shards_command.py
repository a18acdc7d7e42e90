"""mimic-ray shards: build, check and describe sets of images in tar files."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mimic_ray.base.text import count, plain
from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import CheckedCommand, Kind

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Build, check and describe image shards."
)
_SOURCES = "Images: a folder, tars, a zip, tables, an npz, torchvision:NAME:ROOT[:SPLIT]."
_SIDE = "Resize larger images to squares of this side; by default files are copied unchanged."


@app.command(cls=CheckedCommand)
def build(
    source: Annotated[list[str], typer.Argument(help=_SOURCES), Kind.IMAGES],
    out: Annotated[str, typer.Option(help="Folder or address to create."), Kind.OUTPUT],
    per_shard: Annotated[int, typer.Option(help="Images in a shard.")] = 10_000,
    side: Annotated[int | None, typer.Option(help=_SIDE)] = None,
    quality: Annotated[int, typer.Option(help="JPEG quality, with --side.")] = 90,
    broken_share: Annotated[
        float, typer.Option(help="Fail if a larger share of the images is broken.")
    ] = 0.01,
    max_megapixels: Annotated[
        float, typer.Option(help="Read larger images too, up to 178, with --side.")
    ] = 50,
    json: options.Json = False,
) -> None:
    """Pack images into tar files with a manifest.

    Example: mimic-ray shards build photos/ --side 256 --out set
    """
    from mimic_ray.workflows.shards import build_shards

    with console.progress() as on_progress:
        built = build_shards(
            source,
            out,
            per_shard=per_shard,
            side=side,
            quality=quality,
            broken_share=broken_share,
            max_megapixels=max_megapixels,
            on_progress=on_progress,
        )
    facts = built.facts
    if json:
        rest = {key: value for key, value in asdict(built).items() if key != "facts"}
        console.print_json({**rest, **asdict(facts)})
        return
    for key, reason in built.broken:
        console.note(f"left out: {plain(key)} ({reason})")
    shards = count(len(facts.shards), "shard")
    console.out.print(f"{count(facts.images, 'image')} in {shards}: {out}", soft_wrap=True)


@app.command(cls=CheckedCommand)
def verify(
    folder: Annotated[str, typer.Argument(help="A folder of shards."), Kind.IMAGES],
    json: options.Json = False,
) -> None:
    """Check every byte against the manifest. Exits with 1 if a shard is damaged or missing."""
    from mimic_ray.workflows.shards import verify_shards

    problems = verify_shards(folder)
    if json:
        console.print_json({"whole": not problems, "problems": [asdict(p) for p in problems]})
    else:
        lines = [f"{plain(p.file)}: {p.what}" for p in problems] or [
            f"{folder}: no problems found."
        ]
        console.out.print("\n".join(lines), soft_wrap=True)
    if problems:
        raise typer.Exit(1)


@app.command(cls=CheckedCommand)
def info(
    location: Annotated[
        str, typer.Argument(help="Shards: a folder, a tar or a pattern."), Kind.IMAGES
    ],
    json: options.Json = False,
) -> None:
    """Show counts, sizes and the fingerprint of a set of shards."""
    from mimic_ray.workflows.shards import describe_shards

    facts = describe_shards(location)
    if json:
        console.print_json(asdict(facts))
        return
    for word, value in facts.lines().items():
        console.out.print(f"{word:<12} {value}", soft_wrap=True)
