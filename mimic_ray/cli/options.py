"""Options that several commands share, each with its help text and its mark (`Kind`)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from mimic_ray.attacks.triggers.trigger_registry import TRIGGERS
from mimic_ray.base.locations import is_missing
from mimic_ray.base.storage_address import is_remote
from mimic_ray.cli.option_kinds import Kind
from mimic_ray.encoders import encoder_name
from mimic_ray.encoders.normalisation import NORMALISATIONS

_WHERE, _SCALE, _INPUT = "Where", "Scale", "Input of the encoder"


class EffortName(StrEnum):
    """The values of --effort."""

    quick = "quick"
    full = "full"


TRIGGER_HELP = (
    f"{', '.join(TRIGGERS)} or file.py:function, with settings as in patch:side=12,gap=0; or an "
    "npz file."
)

Encoder = Annotated[
    str | None,
    typer.Option(
        help="Architecture: a name of `mimic-ray encoders`, any timm name, with an input size as "
        "in vit_b16@384, or file.py:function. Default: the one that fits the file, if all that fit "
        "are equal; `mimic-ray inspect FILE` shows them.",
        show_default=False,
    ),
    Kind.ENCODER,
]
Normalise = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_INPUT,
        help="Statistics of the input in the training of the encoder, instead of those of its "
        f"name: {', '.join(NORMALISATIONS)} (0.5).",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        rich_help_panel=_INPUT,
        help="Other statistics: the mean of values in [0, 1]; one number for all three, or three.",
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B", rich_help_panel=_INPUT, help="Their standard deviation, with --mean."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        rich_help_panel=_INPUT,
        help="Which copy of the encoder is meant where the file has several, as in "
        "state_dict.module.encoder_q. mimic-ray inspect lists them.",
    ),
]
Teacher = Annotated[
    str,
    typer.Option(
        help="Checkpoint of the suspect encoder: a file, a folder of its parts, hf://OWNER/NAME "
        "or s3://bucket/file."
    ),
    Kind.CHECKPOINT,
]
Data = Annotated[
    str,
    typer.Option(
        help="Clean images: a folder of images or of .tar shards, a tar, a pattern, or "
        "s3://bucket/shards."
    ),
    Kind.IMAGES,
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="auto, default, imagenet, layer_norm, mimic, official, a file or s3://bucket/file.toml.",
    ),
    Kind.RECIPE,
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one key of the recipe; repeatable."),
]
Track = Annotated[
    list[str] | None,
    typer.Option(help="Also log to mlflow or wandb; TensorBoard files are always written."),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes", help="Start even if it takes more than a day, or more memory than there is."
    ),
]
TriggerName = Annotated[
    str | None,
    typer.Option(rich_help_panel="The trigger (research)", help=TRIGGER_HELP),
    Kind.TRIGGER,
]
Address = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_WHERE,
        help="Ray cluster to run on: HOST:PORT of its head, or auto for the one in RAY_ADDRESS or "
        "of the last `ray start` on this machine. Default: this machine alone.",
        show_default=False,
    ),
    Kind.ADDRESS,
]
JobAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="Job server, such as http://HEAD:8265. Default: RAY_API_SERVER_ADDRESS, RAY_ADDRESS, "
        "or this machine.",
        show_default=False,
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Allow a remote job server without a token.")
]
JobName = Annotated[str, typer.Argument(metavar="ID", help="The job's name.")]
Local = Annotated[
    bool,
    typer.Option(
        "--local",
        rich_help_panel=_WHERE,
        help="Run in this process or not at all. Default for one worker on this machine.",
    ),
    Kind.NOT_IN_A_JOB,
]
Ray = Annotated[
    bool,
    typer.Option(
        "--ray", rich_help_panel=_WHERE, help="Start a private Ray on this machine for one worker."
    ),
    Kind.NOT_IN_A_JOB,
]
CpusPerWorker = Annotated[
    int,
    typer.Option(
        min=0,
        rich_help_panel=_WHERE,
        help="CPUs per worker; 0 divides the available CPUs evenly.",
    ),
    Kind.CPUS_PER_WORKER,
]
GpusPerWorker = Annotated[
    int | None,
    typer.Option(
        min=0,
        rich_help_panel=_WHERE,
        help="GPUs per worker; 0 trains on CPUs. Default: one if this machine has enough; on a "
        "cluster 0.",
        show_default=False,
    ),
    Kind.GPUS_PER_WORKER,
]
WorkerRange = Annotated[
    str,
    typer.Option(
        "--workers",
        metavar="N or MIN-MAX",
        rich_help_panel=_SCALE,
        help="Processes, on Ray if there are several. With a range, the run starts with as many "
        "as fit the cluster, and continues with the remaining ones when a worker dies.",
    ),
    Kind.WORKERS,
]
Strategy = Annotated[
    str,
    typer.Option(
        rich_help_panel=_SCALE,
        help="ddp: each worker has the whole student; fsdp: each has a part.",
    ),
]
TeacherPlacement = Annotated[
    str,
    typer.Option(rich_help_panel=_SCALE, help="With fsdp: the teacher replicated or sharded."),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        min=0,
        rich_help_panel=_SCALE,
        help="How often dead workers are replaced. Default: 3 on a cluster or with a range of "
        "workers, else 0.",
        show_default=False,
    ),
]
WaitForCapacity = Annotated[
    float,
    typer.Option(
        "--wait-for-capacity",
        min=0,
        metavar="S",
        rich_help_panel=_SCALE,
        help="On an autoscaling cluster: seconds to wait for nodes before the run is refused.",
    ),
    Kind.CAPACITY_TIMEOUT,
]
Device = Annotated[str, typer.Option(rich_help_panel=_WHERE, help="auto, cpu, cuda, cuda:1 ...")]
Threads = Annotated[
    int, typer.Option(min=0, rich_help_panel=_WHERE, help="CPU threads per worker; 0 uses all.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def with_settings(
    encoder: str | None,
    normalise: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    weights: str | None = None,
) -> str | None:
    """The name of the encoder with what these options state, as in "resnet50:normalise=none".
    Raises UsageError for invalid ones."""
    return encoder_name.joined(encoder, encoder_name.statistics(normalise, mean, std), weights)


def encoder_of_job(given: Mapping[str, Any], *, sees_paths: bool) -> str | None:
    """The encoder of a command line that is about to be sent, with its statistics.

    Without a name, it is found in the file of the suspect as the command does; None where this
    machine does not have the file.
    """
    words = ("encoder", "normalise", "mean", "std", "weights")
    encoder = with_settings(*(given.get(word) for word in words))
    if encoder is not None and not encoder.startswith(":"):
        return encoder
    if not sees_paths or is_missing(given["teacher"]) or is_remote(given["teacher"]):
        return None
    from mimic_ray.weight_files.choice import chosen_encoder

    return chosen_encoder(given["teacher"], encoder)
