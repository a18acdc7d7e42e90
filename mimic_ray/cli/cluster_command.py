"""mimic-ray cluster: files for AWS, GCP and Kubernetes, written, checked, started and ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.cluster_render_command import render

if TYPE_CHECKING:
    from mimic_ray.workflows.cluster import Start

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Write, check and use cluster files."
)
File = Annotated[Path, typer.Argument(help="A file of `ray up`, or of Kubernetes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the command, run nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
Namespace = Annotated[str, typer.Option(help="Of Kubernetes; else that of your context.")]


app.command()(render)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Files of `ray up` or Kubernetes.")],
    json: options.Json = False,
) -> None:
    """Say what is wrong with cluster files, with no cloud and no network; exit 1 for an error.

    Example: mimic-ray cluster validate aws.yaml
    """
    from dataclasses import asdict

    from mimic_ray.workflows.cluster import validate_files

    found = list(validate_files(files))
    every = [finding for _, findings in found for finding in findings]
    wrong = any(finding.level == "error" for finding in every)
    if json:
        content = {"valid": not wrong, "findings": [asdict(finding) for finding in every]}
        console.print_json(content)
    else:
        for path, findings in found:
            lines = [str(finding) for finding in findings] or [f"{path}: nothing is wrong."]
            console.out.print("\n".join(lines), markup=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


@app.command()
def up(file: File, dry_run: DryRun = False, yes: Yes = False, namespace: Namespace = "") -> None:
    """Check a file, then start its cluster: `ray up`, or `kubectl apply`."""
    from mimic_ray.workflows.cluster import cluster_command

    start = cluster_command("up", file, yes=yes, namespace=namespace, look=not dry_run)
    _run(start, dry_run)


@app.command()
def down(file: File, dry_run: DryRun = False, yes: Yes = False, namespace: Namespace = "") -> None:
    """End the cluster of a file: `ray down`, or `kubectl delete`."""
    from mimic_ray.workflows.cluster import cluster_command

    start = cluster_command("down", file, yes=yes, namespace=namespace)
    if not (dry_run or yes or start.asks):
        typer.confirm(f"End everything that {file} describes?", abort=True)
    _run(start, dry_run)


@app.command()
def attach(
    file: File,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="No shell: port 8265 of the head, here.")
    ] = False,
    dry_run: DryRun = False,
    namespace: Namespace = "",
) -> None:
    """A shell on the head, or its job server on http://127.0.0.1:8265."""
    from mimic_ray.workflows.cluster import cluster_command

    _run(cluster_command("attach", file, dashboard=dashboard, namespace=namespace), dry_run)


def _run(start: Start, dry_run: bool) -> None:
    """Shows warnings and the command; runs it in this terminal and ends with its exit code."""
    import shlex
    import subprocess

    for finding in start.findings:
        if finding.level == "warning":
            console.err.print(str(finding), markup=False, soft_wrap=True)
    console.out.print(shlex.join(start.command), markup=False, soft_wrap=True)
    if not dry_run:
        raise typer.Exit(subprocess.run(start.command).returncode)
