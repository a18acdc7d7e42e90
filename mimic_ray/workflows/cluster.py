"""Cluster files: write one, check some, and the commands that start and end what they describe."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError, ResourceError, UsageError
from mimic_ray.base.text import count, plain
from mimic_ray.cluster_files.findings import Finding

_SDKS = {"aws": ("boto3", "boto3"), "gcp": ("googleapiclient", "google-api-python-client")}
_TOKEN_HOW = "Make one with: (umask 077; ray get-auth-token --generate > /dev/null)"


class ClusterFileError(MimicError):
    """A cluster file that must not be used; its findings are printed apart."""


def write_cluster_file(out: Path | None, force: bool, **wanted: Any) -> str:
    """The text of the file, also written to `out` if given. Raises UsageError."""
    from mimic_ray.cluster_files.cluster_spec import Wanted
    from mimic_ray.cluster_files.render import render

    text = render(Wanted(**wanted))
    if out is not None:
        if out.exists() and not force:
            raise UsageError(f"{plain(out)} is there already: choose another --out, or --force.")
        if not out.parent.is_dir():
            raise UsageError(f"{plain(out.parent)} is no folder.")
        out.write_text(text, encoding="ascii")
    return text


def validate_files(paths: Sequence[Path]) -> Iterator[tuple[Path, list[Finding]]]:
    """The findings of each file, errors first."""
    from mimic_ray.cluster_files.validate import validate

    for path in paths:
        yield path, validate(path)


@dataclass(frozen=True)
class Start:
    """A command that `up`, `down` or `attach` runs, and what was found in its file."""

    command: list[str]
    findings: list[Finding]
    asks: bool  # whether the command itself asks before it acts


def cluster_command(
    action: str,
    path: Path,
    *,
    yes: bool = False,
    dashboard: bool = False,
    namespace: str = "",
    look: bool = True,
) -> Start:
    """The command of an action on a file that is found to be sound, with all that it needs.

    With `look` Kubernetes is asked whether the token's secret is there.

    Raises ClusterFileError for a file with errors or placeholders, ResourceError for what is
    missing on this machine.
    """
    from mimic_ray.cluster_files.validate import kind_of, validate
    from mimic_ray.cluster_files.yaml_reader import read_documents

    findings = validate(path)
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        more = f" ({count(len(errors) - 1, 'more error')})" if len(errors) > 1 else ""
        raise ClusterFileError(f"{errors[0]}{more}. Nothing was started.")
    documents = read_documents(path)
    first = documents[0].data
    if action == "up":
        for finding in findings:
            if finding.level == "note" and "stands for yours" in finding.what:
                raise ClusterFileError(f"{finding} Nothing was started.")
    if kind_of(path, documents) == "ray_up":
        if namespace:
            raise UsageError(
                f"--namespace is for Kubernetes, and {plain(path)} is a file of ray up."
            )
        if action == "up":
            _check_token_file(first)
        _check_sdk(str(first["provider"]["type"]))
        verb = "dashboard" if action == "attach" and dashboard else action
        command = [_ray(), verb, str(path)] + (["--yes"] if yes and action != "attach" else [])
        return Start(command, findings, asks=True)
    place = ["--namespace", namespace] if namespace else []
    kubectl = _program("kubectl", "Install kubectl, and choose the cluster with its context.")
    if action == "up" and look:
        _check_secrets([kubectl, *place], documents)
    if action != "attach":
        verb = {"up": "apply", "down": "delete"}[action]
        return Start([kubectl, *place, verb, "-f", str(path)], findings, asks=False)
    service = f"service/{_cluster_name(path, documents)}-head-svc"
    if dashboard:
        command = [kubectl, *place, "port-forward", service, "8265:8265"]
    else:
        command = [kubectl, *place, "exec", "-it", service, "-c", "ray-head", "--", "bash"]
    return Start(command, findings, asks=False)


def _cluster_name(path: Path, documents: Sequence[Any]) -> str:
    for document in documents:
        if document.data.get("kind") == "RayCluster":
            return str(document.data["metadata"]["name"])
    raise UsageError(
        f"{plain(path)} holds no RayCluster; what a RayJob called its own is said by: kubectl get "
        "rayjob NAME -o jsonpath='{.status.rayClusterName}'."
    )


def _check_token_file(config: dict[str, Any]) -> None:
    for remote, local in (config.get("file_mounts") or {}).items():
        if "auth_token" not in str(remote):
            continue
        file = Path(str(local)).expanduser()
        if not file.is_file() or not file.stat().st_size:
            raise ResourceError(f"There is no token in {plain(local)}. {_TOKEN_HOW}")
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ResourceError(
                f"Others may read the token in {plain(local)}: chmod 600 {plain(local)}"
            )


def _check_secrets(kubectl: list[str], documents: Sequence[Any]) -> None:
    """Without its secret no pod of the cluster starts, and nobody says so."""
    import subprocess

    from mimic_ray.cluster_files.kuberay_checks import ray_clusters
    from mimic_ray.cluster_files.lookup import get

    of_file = [
        get(d.data, "metadata", "name") for d in documents if get(d.data, "kind") == "Secret"
    ]
    for document in documents:
        for _, cluster in ray_clusters(document.data):
            name = get(cluster, "authOptions", "secretName")
            if name is None or name in of_file:
                continue
            asked = [*kubectl, "get", "secret", str(name), "-o", "name"]
            answer = subprocess.run(asked, capture_output=True, text=True)
            # What else can go wrong is said better by the command itself.
            if answer.returncode and "not found" in answer.stderr.lower():
                raise ResourceError(
                    f"Kubernetes has no secret {plain(name)} with the token. Make it with: "
                    f"kubectl create secret generic {plain(name)} "
                    "--from-file=auth_token=$HOME/.ray/auth_token"
                )


def _check_sdk(provider: str) -> None:
    module, package = _SDKS.get(provider, ("", ""))
    if module and find_spec(module) is None:
        raise ResourceError(f"Ray needs {package} for {provider}: pip install {package}")


def _ray() -> str:
    """Ray's command beside this Python, so that it is the version that checked the file."""
    beside = Path(sys.executable).with_name("ray")
    if beside.is_file() and os.access(beside, os.X_OK):
        return str(beside)
    return _program("ray", "pip install 'mimic-ray[cluster]'")


def _program(name: str, how: str) -> str:
    if shutil.which(name) is None:
        raise ResourceError(f"{name} is not installed. {how}")
    return name


def selectors(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE texts as pairs. Raises UsageError."""
    for text in given:
        if not text.partition("=")[0] or not text.partition("=")[2]:
            raise UsageError(
                f'--node-selector "{plain(text)}": KEY=VALUE, a label of the GPU nodes.'
            )
    return tuple((text.partition("=")[0], text.partition("=")[2]) for text in given)
