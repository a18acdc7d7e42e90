"""Options that more than one command has, with the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Encoder = Annotated[
    str,
    typer.Option(
        help="Architecture: resnet50, vit_b16, clip_rn50, cifar_resnet20, simclr_resnet18, any "
        "timm ResNet or ViT, or file.py:function. `mimic-ray inspect FILE` says which fits."
    ),
]
Teacher = Annotated[Path, typer.Option(help="Checkpoint of the suspect encoder.")]
Data = Annotated[
    str,
    typer.Option(help="Clean images: a folder of images or of .tar shards, a tar, or a pattern."),
]
RecipeName = Annotated[
    str, typer.Option("--recipe", "--config", help="default, official, or a TOML file.")
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Changes one key of the recipe; repeatable."),
]
Address = Annotated[
    str | None,
    typer.Option(envvar="RAY_ADDRESS", rich_help_panel="Where", help="A running Ray cluster."),
]
Device = Annotated[str, typer.Option(rich_help_panel="Where", help="auto, cpu, cuda, cuda:1 ...")]
Threads = Annotated[
    int, typer.Option(min=0, rich_help_panel="Where", help="CPU threads a worker; 0 is all.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer for a machine.")]
