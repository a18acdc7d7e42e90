"""Options that more than one command has, with the same words."""

from __future__ import annotations

from typing import Annotated

import typer

Encoder = Annotated[
    str,
    typer.Option(
        help="Architecture: resnet50, vit_b16, clip_rn50, cifar_resnet20, simclr_resnet18, any "
        "timm ResNet or ViT, with a size as vit_b16@384, or file.py:function. "
        "`mimic-ray inspect FILE` says which fits."
    ),
]
Teacher = Annotated[
    str, typer.Option(help="Checkpoint of the suspect encoder, a file or s3://bucket/file.")
]
Data = Annotated[
    str,
    typer.Option(
        help="Clean images: a folder of images or of .tar shards, a tar, a pattern, or "
        "s3://bucket/shards."
    ),
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        "--config",
        help="auto, default, imagenet, official, a file or s3://bucket/file.toml.",
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Changes one key of the recipe; repeatable."),
]
Address = Annotated[
    str | None,
    typer.Option(envvar="RAY_ADDRESS", rich_help_panel="Where", help="A running Ray cluster."),
]
JobAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="The job server, http://HEAD:8265; else RAY_API_SERVER_ADDRESS, RAY_ADDRESS or this "
        "machine's.",
        show_default=False,
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Talk to a server without a token all the same.")
]
JobName = Annotated[str, typer.Argument(metavar="ID", help="The job's name.")]
Local = Annotated[
    bool, typer.Option("--local", rich_help_panel="Where", help="This process, no Ray.")
]
CpusPerWorker = Annotated[
    int, typer.Option(min=0, rich_help_panel="Where", help="0 divides the available CPUs evenly.")
]
GpusPerWorker = Annotated[int, typer.Option(min=0, rich_help_panel="Where")]
WorkerRange = Annotated[
    str,
    typer.Option(
        "--workers",
        metavar="N or FEWEST-MOST",
        rich_help_panel="Scale",
        help="Ray Train workers; with a range, as many as there is room for, and when one dies the "
        "run goes on with those that are left.",
    ),
]
Strategy = Annotated[
    str,
    typer.Option(
        rich_help_panel="Scale", help="ddp: a copy of the student on each worker; fsdp: a part."
    ),
]
TeacherPlacement = Annotated[
    str,
    typer.Option(rich_help_panel="Scale", help="With fsdp: the teacher replicated or sharded."),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        min=0,
        rich_help_panel="Scale",
        help="Dead workers replaced so often; by default 0, 3 on a cluster or with a range.",
        show_default=False,
    ),
]
WaitForCapacity = Annotated[
    float,
    typer.Option(
        "--wait-for-capacity",
        min=0,
        metavar="S",
        rich_help_panel="Scale",
        help="Wait up to S seconds for a cluster that scales up, instead of refusing.",
    ),
]
Device = Annotated[str, typer.Option(rich_help_panel="Where", help="auto, cpu, cuda, cuda:1 ...")]
Threads = Annotated[
    int, typer.Option(min=0, rich_help_panel="Where", help="CPU threads a worker; 0 is all.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer for a machine.")]
