"""mimic-ray cluster render: what a user wants of a cluster, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mimic_ray.cli import console

_GPUS = "a100, a100_40, h100, h200, l4, l40s, a10g, t4 or v100, where the cloud has it."
_ROLE = "Instance profile (AWS) or service account (GCP) of the"
_SHARED = "Storage of all nodes: HOST:/EXPORT of an NFS server; on Kubernetes a volume claim."


def render(
    provider: Annotated[str, typer.Option(help="aws, gcp or kuberay.")],
    gpu: Annotated[str, typer.Option(help=_GPUS)],
    workers: Annotated[int, typer.Option(help="Most workers, of one GPU each.")] = 8,
    min_workers: Annotated[
        int | None,
        typer.Option(help="Least, kept running; by default all.", show_default=False),
    ] = None,
    gpus_per_node: Annotated[
        int | None,
        typer.Option(help="By default the smallest node that holds all.", show_default=False),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="kuberay: raycluster or rayjob.", rich_help_panel="Kubernetes")
    ] = "raycluster",
    name: Annotated[str, typer.Option(help="Of the cluster.")] = "mimic-ray",
    spot: Annotated[bool, typer.Option("--spot", help="Workers that may be taken away.")] = False,
    region: Annotated[
        str, typer.Option(help="us-west-2, us-central1 ...", rich_help_panel="Cloud")
    ] = "",
    zone: Annotated[
        str, typer.Option(help="us-west-2a, us-central1-a ...", rich_help_panel="Cloud")
    ] = "",
    image: Annotated[str, typer.Option(help="Yours, built from cluster/Dockerfile.")] = "",
    shm: Annotated[int, typer.Option(help="GiB of /dev/shm on a worker; 0: 8 a GPU.")] = 0,
    disk: Annotated[int, typer.Option(help="GB of a node's disk.", rich_help_panel="Cloud")] = 200,
    shared: Annotated[str, typer.Option(help=_SHARED)] = "",
    project: Annotated[str, typer.Option(help="GCP's project.", rich_help_panel="Cloud")] = "",
    head_role: Annotated[
        str, typer.Option(help=f"{_ROLE} head.", rich_help_panel="Cloud")
    ] = "mimic-ray-head",
    worker_role: Annotated[
        str, typer.Option(help=f"{_ROLE} workers.", rich_help_panel="Cloud")
    ] = "mimic-ray-worker",
    subnet: Annotated[
        str, typer.Option(help="Of all nodes; else Ray picks.", rich_help_panel="Cloud")
    ] = "",
    security_group: Annotated[
        str,
        typer.Option(help="AWS; else Ray makes one with SSH open.", rich_help_panel="Cloud"),
    ] = "",
    machine_image: Annotated[
        str,
        typer.Option(help="AMI or GCP image with driver 580 or later.", rich_help_panel="Cloud"),
    ] = "",
    interface: Annotated[
        str, typer.Option(help="Network interface of NCCL and gloo, as ens5; else they choose.")
    ] = "",
    node_selector: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Label of GPU nodes.", rich_help_panel="Kubernetes"),
    ] = None,
    token_file: Annotated[
        str, typer.Option(help="Ray's token on this machine.")
    ] = "~/.ray/auth_token",
    token_secret: Annotated[
        str, typer.Option(help="Secret with auth_token.", rich_help_panel="Kubernetes")
    ] = "mimic-ray-token",
    out: Annotated[Path | None, typer.Option(help="File to write; else printed.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace --out.")] = False,
    job: Annotated[
        list[str] | None, typer.Argument(help="After --: the command of a rayjob.")
    ] = None,
) -> None:
    """Write the file of a cluster with GPUs.

    Example: mimic-ray cluster render --provider aws --gpu a100 --workers 8 --spot --out aws.yaml
    """
    from mimic_ray.workflows.cluster import selectors, write_cluster_file

    given = {"image": image, "project": project}
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
        roles=(head_role, worker_role),
        subnet=subnet,
        security_group=security_group,
        machine_image=machine_image,
        interface=interface,
        node_selector=selectors(node_selector or []),
        token_file=token_file,
        token_secret=token_secret,
        job=tuple(job or ()),
        **{key: value for key, value in given.items() if value},
    )
    if out is None:
        typer.echo(text, nl=False)
    else:
        said = f"Wrote {out}. Check it with: mimic-ray cluster validate {out}"
        console.out.print(said, markup=False, soft_wrap=True)
