"""mimic-ray cluster render: writes a cluster file from settings on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mimic_ray.base.errors import UsageError
from mimic_ray.cli import console

_GPUS = "GPU of the workers: a100, a100_40, h100, h200, l4, l40s, a10g, t4 or v100."


def _option(help: str, panel: str | None = None, **settings: Any) -> Any:
    return typer.Option(help=help, rich_help_panel=panel, **settings)


def _cloud(help: str) -> Any:
    return _option(help, "AWS and GCP")


def _kubernetes(help: str, **settings: Any) -> Any:
    return _option(help, "Kubernetes", **settings)


def _slurm(help: str) -> Any:
    return _option(help, "Slurm")


def render(
    provider: Annotated[str, _option("Where the cluster runs: aws, gcp, kuberay or slurm.")],
    gpu: Annotated[str, _option(f"{_GPUS} On Slurm the site's name of a type, or any.")],
    workers: Annotated[int, _option("Maximum number of workers, one GPU each.")] = 8,
    min_workers: Annotated[
        int | None, _option("Workers that always run. Default: the value of --workers.")
    ] = None,
    gpus_per_node: Annotated[
        int | None, _option("GPUs per node. Default: the smallest machine that fits all workers.")
    ] = None,
    name: Annotated[str, _option("Name of the cluster.")] = "mimic-ray",
    spot: Annotated[bool, typer.Option("--spot", help="Use spot machines for workers.")] = False,
    image: Annotated[
        str,
        _option(
            "Container image, built from cluster/Dockerfile. Without it the file has a placeholder "
            "that `cluster up` refuses."
        ),
    ] = "",
    shm: Annotated[
        int, _option("Size of /dev/shm of a worker node in GiB (0: 8 GiB per GPU).")
    ] = 0,
    shared: Annotated[
        str,
        _option(
            "Storage that all nodes mount: HOST:/EXPORT of an NFS server, or on Kubernetes the "
            "name of a PersistentVolumeClaim."
        ),
    ] = "",
    interface: Annotated[
        str, _option("Network interface for NCCL and gloo, such as ens5. Default: automatic.")
    ] = "",
    token_file: Annotated[
        str, _option("File with Ray's authentication token on this machine.")
    ] = "~/.ray/auth_token",
    region: Annotated[str, _cloud("Region. Default: us-west-2 on AWS, us-central1 on GCP.")] = "",
    zone: Annotated[str, _cloud("Availability zone. Default: any on AWS, REGION-a on GCP.")] = "",
    project: Annotated[str, _cloud("GCP project ID. Required on GCP.")] = "",
    disk: Annotated[int, _cloud("Disk of a node in GB.")] = 200,
    head_role: Annotated[
        str, _cloud("Instance profile (AWS) or service account (GCP) of the head.")
    ] = "mimic-ray-head",
    worker_role: Annotated[
        str, _cloud("Instance profile (AWS) or service account (GCP) of the workers.")
    ] = "mimic-ray-worker",
    subnet: Annotated[str, _cloud("Subnet of all nodes. Default: Ray chooses.")] = "",
    security_group: Annotated[
        str, _cloud("AWS security group. Default: Ray creates one with SSH open to the internet.")
    ] = "",
    machine_image: Annotated[
        str,
        _cloud(
            "AMI (AWS) or image (GCP) with NVIDIA driver 580 or later. Default: the cloud's deep "
            "learning image."
        ),
    ] = "",
    kind: Annotated[
        str, _kubernetes("raycluster (a permanent cluster) or rayjob (one job with its cluster).")
    ] = "raycluster",
    node_selector: Annotated[
        list[str] | None,
        _kubernetes(
            "Label of the GPU nodes; repeatable. Default: nvidia.com/gpu.product of the GPU.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    token_secret: Annotated[
        str, _kubernetes("Secret with the token under the key auth_token.")
    ] = "mimic-ray-token",
    partition: Annotated[str, _slurm("Partition. Default: that of the site.")] = "",
    account: Annotated[str, _slurm("Account. Default: that of the user.")] = "",
    time: Annotated[str, _slurm("Time limit; the run commits and stops before it.")] = "04:00:00",
    cpus_per_gpu: Annotated[int, _slurm("CPUs for each GPU.")] = 8,
    environment: Annotated[
        str, _slurm("Folder of the virtual environment with mimic-ray, on a shared disk.")
    ] = "",
    out: Annotated[Path | None, _option("File to write. Default: standard output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
    job: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            help="Command of a rayjob or a Slurm job, without mimic-ray. Default: purify.",
        ),
    ] = None,
) -> None:
    """Write a cluster file: for `ray up` on AWS and GCP, for `kubectl apply` on Kubernetes, and a
    batch script for sbatch on Slurm.

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
        partition=partition,
        account=account,
        time=time,
        cpus_per_gpu=cpus_per_gpu,
        environment=environment,
        **({"image": image} if image else {}),
    )
    if out is None:
        typer.echo(text, nl=False)
    else:
        next_step = f"Check it with: mimic-ray cluster validate {out}"
        if provider == "slurm":
            next_step = f"Start it with: sbatch {out}"
        message = f"Wrote {out}. {next_step}"
        console.out.print(message, soft_wrap=True)
    for word in placeholders(text):
        message = f'warning: The file contains the placeholder "{word}": replace it before '
        console.err.print(message + "`mimic-ray cluster up`.", soft_wrap=True)


def _labels(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE texts as (key, value) pairs."""
    pairs = [text.partition("=") for text in texts]
    for text, (key, _, value) in zip(texts, pairs, strict=True):
        if not (key and value):
            raise UsageError(f'--node-selector "{text}" must be KEY=VALUE.')
    return tuple((key, value) for key, _, value in pairs)
