"""mimic-ray cluster: write, check, start and stop clusters on AWS, GCP and Kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.cluster_render_command import render

if TYPE_CHECKING:
    from mimic_ray.workflows.cluster import ClusterAction

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Write, check and use cluster files for AWS, GCP and Kubernetes, and scripts for Slurm.",
)
File = Annotated[Path, typer.Argument(help="Cluster file of `ray up` or of Kubernetes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the command and do not run it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Namespace = Annotated[
    str,
    typer.Option(
        help="Kubernetes namespace. Default: that of the current kubectl context.",
        show_default=False,
    ),
]


app.command()(render)


@app.command()
def validate(
    files: Annotated[
        list[Path], typer.Argument(help="Cluster files of `ray up` or of Kubernetes.")
    ],
    json: options.Json = False,
) -> None:
    """Check cluster files without a cloud or a network. The exit code is 1 if there is an error.

    Example: mimic-ray cluster validate aws.yaml
    """
    from dataclasses import asdict

    from mimic_ray.workflows.cluster import validate_files

    results = list(validate_files(files))
    findings = [finding for _, of_file in results for finding in of_file]
    valid = not any(finding.level == "error" for finding in findings)
    if json:
        console.print_json({"valid": valid, "findings": [asdict(each) for each in findings]})
    else:
        for path, of_file in results:
            lines = [str(finding) for finding in of_file] or [f"{path}: no problems found."]
            console.out.print("\n".join(lines), soft_wrap=True)
    if not valid:
        raise typer.Exit(1)


@app.command()
def up(file: File, dry_run: DryRun = False, yes: Yes = False, namespace: Namespace = "") -> None:
    """Check a cluster file, then start its cluster with `ray up` or `kubectl apply`."""
    from mimic_ray.workflows.cluster import plan_action

    action = plan_action("up", file, yes=yes, namespace=namespace, check_secrets=not dry_run)
    _run(action, dry_run, "" if yes else f"Create everything that {file} describes?")


@app.command()
def down(file: File, dry_run: DryRun = False, yes: Yes = False, namespace: Namespace = "") -> None:
    """Stop the cluster of a file with `ray down` or `kubectl delete`."""
    from mimic_ray.workflows.cluster import plan_action

    action = plan_action("down", file, yes=yes, namespace=namespace)
    _run(action, dry_run, "" if yes else f"Delete everything that {file} describes?")


@app.command()
def attach(
    file: File,
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard", help="Forward the job server to this machine instead of a shell."
        ),
    ] = False,
    dry_run: DryRun = False,
    namespace: Namespace = "",
) -> None:
    """Open a shell on the head, or forward its job server to http://127.0.0.1:8265."""
    from mimic_ray.workflows.cluster import plan_action

    _run(plan_action("attach", file, dashboard=dashboard, namespace=namespace), dry_run)


def _run(action: ClusterAction, dry_run: bool, question: str = "") -> None:
    """Prints warnings and the command, asks for confirmation, runs it and exits with its code."""
    import shlex
    import subprocess

    for finding in action.findings:
        if finding.level == "warning":
            console.err.print(str(finding), soft_wrap=True)
    console.out.print(shlex.join(action.command), soft_wrap=True)
    if dry_run:
        return
    if question and not action.confirms_itself:
        typer.confirm(question, abort=True)
    raise typer.Exit(subprocess.run(action.command).returncode)
