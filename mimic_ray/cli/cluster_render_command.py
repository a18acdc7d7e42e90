"""mimic-ray cluster render: the settings of a cluster on the command line -> a cluster file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mimic_ray.base.errors import UsageError
from mimic_ray.cli import console

_CLOUD, _KUBERNETES = "AWS and GCP", "Kubernetes"
_GPUS = "GPU of the workers: a100, a100_40, h100, h200, l4, l40s, a10g, t4 or v100."


def render(
    provider: Annotated[str, typer.Option(help="Where the cluster runs: aws, gcp or kuberay.")],
    gpu: Annotated[str, typer.Option(help=_GPUS)],
    workers: Annotated[int, typer.Option(help="Maximum number of workers, one GPU each.")] = 8,
    min_workers: Annotated[
        int | None,
        typer.Option(
            help="Workers that always run. Default: the value of --workers.", show_default=False
        ),
    ] = None,
    gpus_per_node: Annotated[
        int | None,
        typer.Option(
            help="GPUs of one node. Default: the smallest machine that holds all workers.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the cluster.")] = "mimic-ray",
    spot: Annotated[
        bool, typer.Option("--spot", help="Use spot machines for the workers.")
    ] = False,
    image: Annotated[
        str,
        typer.Option(
            help="Container image, built from cluster/Dockerfile. Without it the file has a "
            "placeholder that `cluster up` refuses.",
            show_default=False,
        ),
    ] = "",
    shm: Annotated[
        int, typer.Option(help="Size of /dev/shm of a worker node in GiB (0: 8 GiB per GPU).")
    ] = 0,
    shared: Annotated[
        str,
        typer.Option(
            help="Storage that all nodes mount: HOST:/EXPORT of an NFS server, or on Kubernetes "
            "the name of a PersistentVolumeClaim.",
            show_default=False,
        ),
    ] = "",
    interface: Annotated[
        str,
        typer.Option(
            help="Network interface for NCCL and gloo, such as ens5. Default: their own choice.",
            show_default=False,
        ),
    ] = "",
    token_file: Annotated[
        str, typer.Option(help="File with Ray's authentication token on this machine.")
    ] = "~/.ray/auth_token",
    region: Annotated[
        str,
        typer.Option(
            help="Region. Default: us-west-2 on AWS, us-central1 on GCP.",
            rich_help_panel=_CLOUD,
            show_default=False,
        ),
    ] = "",
    zone: Annotated[
        str,
        typer.Option(
            help="Availability zone. Default: any on AWS, REGION-a on GCP.",
            rich_help_panel=_CLOUD,
            show_default=False,
        ),
    ] = "",
    project: Annotated[
        str,
        typer.Option(
            help="GCP project ID. Required on GCP.", rich_help_panel=_CLOUD, show_default=False
        ),
    ] = "",
    disk: Annotated[int, typer.Option(help="Disk of a node in GB.", rich_help_panel=_CLOUD)] = 200,
    head_role: Annotated[
        str,
        typer.Option(
            help="Instance profile (AWS) or service account (GCP) of the head.",
            rich_help_panel=_CLOUD,
        ),
    ] = "mimic-ray-head",
    worker_role: Annotated[
        str,
        typer.Option(
            help="Instance profile (AWS) or service account (GCP) of the workers.",
            rich_help_panel=_CLOUD,
        ),
    ] = "mimic-ray-worker",
    subnet: Annotated[
        str,
        typer.Option(
            help="Subnet of all nodes. Default: Ray chooses.",
            rich_help_panel=_CLOUD,
            show_default=False,
        ),
    ] = "",
    security_group: Annotated[
        str,
        typer.Option(
            help="AWS security group. Default: Ray creates one with SSH open to the internet.",
            rich_help_panel=_CLOUD,
            show_default=False,
        ),
    ] = "",
    machine_image: Annotated[
        str,
        typer.Option(
            help="AMI (AWS) or image (GCP) with NVIDIA driver 580 or later. Default: the cloud's "
            "deep learning image.",
            rich_help_panel=_CLOUD,
            show_default=False,
        ),
    ] = "",
    kind: Annotated[
        str,
        typer.Option(
            help="raycluster (a cluster that stays) or rayjob (one job with its own cluster).",
            rich_help_panel=_KUBERNETES,
        ),
    ] = "raycluster",
    node_selector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Label of the GPU nodes; repeatable. Default: nvidia.com/gpu.product of the GPU.",
            rich_help_panel=_KUBERNETES,
            show_default=False,
        ),
    ] = None,
    token_secret: Annotated[
        str,
        typer.Option(
            help="Secret with the token under the key auth_token.", rich_help_panel=_KUBERNETES
        ),
    ] = "mimic-ray-token",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write. Default: standard output.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
    job: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            help="Command of a rayjob, without mimic-ray. Default: purify, with data from /data.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a cluster file: for `ray up` on AWS and GCP, for `kubectl apply` on Kubernetes.

    Example: mimic-ray cluster render --provider aws --gpu a100 --workers 8 --spot --out aws.yaml
    """
    from mimic_ray.workflows.cluster import placeholders, write_cluster_file

    text = write_cluster_file(
        out,
        force,
        provider=provider,
        gpu=gpu,
        workers=workers,
        min_workers=min_workers,
        gpus_per_node=gpus_per_node,
        kind=kind,
        name=name,
        spot=spot,
        region=region,
        zone=zone,
        shm=shm,
        disk=disk,
        shared=shared,
        project=project,
        head_role=head_role,
        worker_role=worker_role,
        subnet=subnet,
        security_group=security_group,
        machine_image=machine_image,
        interface=interface,
        node_selector=_labels(node_selector or []),
        token_file=token_file,
        token_secret=token_secret,
        job=tuple(job or ()),
        **({"image": image} if image else {}),
    )
    if out is None:
        typer.echo(text, nl=False)
    else:
        message = f"Wrote {out}. Check it with: mimic-ray cluster validate {out}"
        console.out.print(message, markup=False, soft_wrap=True)
    for word in placeholders(text):
        message = f'warning: The file contains the placeholder "{word}": replace it before '
        console.err.print(message + "`mimic-ray cluster up`.", markup=False, soft_wrap=True)


def _labels(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE texts as pairs."""
    pairs = [text.partition("=") for text in texts]
    for text, (key, _, value) in zip(texts, pairs, strict=True):
        if not (key and value):
            raise UsageError(f'--node-selector "{text}" must be KEY=VALUE.')
    return tuple((key, value) for key, _, value in pairs)
