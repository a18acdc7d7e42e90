"""Writes and checks cluster files, and plans the command that starts or stops their cluster."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError, ResourceError, UsageError, option
from mimic_ray.base.text import count, plain
from mimic_ray.cluster_files.findings import Finding

_SDKS = {"aws": ("boto3", "boto3"), "gcp": ("googleapiclient", "google-api-python-client")}


class ClusterFileError(MimicError):
    """A cluster file with errors or placeholders."""


def write_cluster_file(out: Path | None, force: bool, **settings: Any) -> str:
    """The text of the file for the spec with these settings, also written to `out` if set.

    With `provider="slurm"` they are those of a SlurmSpec, otherwise of a ClusterSpec. Raises
    UsageError for incompatible settings and for a path that cannot be written.
    """
    from mimic_ray.cluster_files.cluster_spec import ClusterSpec
    from mimic_ray.cluster_files.render import render
    from mimic_ray.cluster_files.slurm_script import SlurmSpec, render_slurm

    if settings["provider"] == "slurm":
        text = render_slurm(SlurmSpec(**_only_for(SlurmSpec, ClusterSpec, "slurm", settings)))
    else:
        chosen = _only_for(ClusterSpec, SlurmSpec, settings["provider"], settings)
        text = render(ClusterSpec(**chosen))
    if out is not None:
        if out.is_dir():
            raise UsageError(f"{plain(out)} is a folder: name the file in {option('out')}.")
        if out.exists() and not force:
            raise UsageError(
                f"{plain(out)} exists: choose another {option('out')} or use {option('force')}."
            )
        if not out.parent.is_dir():
            raise UsageError(f"{plain(out.parent)} is not a folder.")
        out.write_text(text, encoding="utf-8")
    return text


def _only_for(
    spec: type, other: type, provider: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that `spec` has. Raises UsageError for one of `other` that was changed."""
    defaults = {field.name: field.default for field in fields(other)}
    known = {field.name for field in fields(spec)}
    for name, value in settings.items():
        if name not in known and name != "provider" and value != defaults[name]:
            raise UsageError(f"{option(name)} does not apply to {option('provider', provider)}.")
    return {name: value for name, value in settings.items() if name in known}


def placeholders(text: str) -> list[str]:
    """The placeholders that a cluster file still contains."""
    from mimic_ray.cluster_files.versions import PLACEHOLDERS

    return [word for word in PLACEHOLDERS if word in text]


def validate_files(paths: Sequence[Path]) -> Iterator[tuple[Path, list[Finding]]]:
    """The findings of each file, errors first."""
    from mimic_ray.cluster_files.validate import validate

    for path in paths:
        yield path, validate(path)


@dataclass(frozen=True)
class ClusterAction:
    """The command of `up`, `down` or `attach`, and the findings about its file."""

    command: list[str]
    findings: list[Finding]
    confirms_itself: bool  # the command itself asks for confirmation


def plan_action(
    action: str,
    path: Path,
    *,
    yes: bool = False,
    dashboard: bool = False,
    namespace: str = "",
    check_secrets: bool = True,
) -> ClusterAction:
    """The command for a file, after a check of the file and of the command's requirements.

    With `check_secrets`, `up` checks that Kubernetes has the secret with the token.

    Raises ClusterFileError for a file with errors or placeholders, ResourceError if this machine
    or the Kubernetes cluster does not meet a requirement.
    """
    from mimic_ray.cluster_files.validate import kind_of, validate
    from mimic_ray.cluster_files.yaml_reader import read_documents

    findings = validate(path)
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        more = f" ({count(len(errors) - 1, 'more error')})" if len(errors) > 1 else ""
        raise ClusterFileError(f"{errors[0]}{more}. Nothing was changed.")
    if action == "up":
        for finding in findings:
            if finding.level == "note" and "is a placeholder" in finding.message:
                raise ClusterFileError(f"{finding} Nothing was changed.")
    documents = [document.data for document in read_documents(path)]
    if kind_of(path, documents[0]) == "ray_up":
        if namespace:
            raise UsageError(f"{option('namespace')} needs a Kubernetes file, not {plain(path)}.")
        return ClusterAction(
            _ray_command(action, path, documents[0], yes, dashboard), findings, True
        )
    kubectl = [_program("kubectl", "Install it and select the cluster with its context.")]
    kubectl += ["--namespace", namespace] if namespace else []
    if action == "up" and check_secrets:
        _check_secrets(kubectl, documents)
    command = kubectl + _kubectl_arguments(action, path, documents, dashboard)
    return ClusterAction(command, findings, False)


def _ray_command(
    action: str, path: Path, config: Mapping[str, Any], yes: bool, dashboard: bool
) -> list[str]:
    if action == "up":
        _check_token_file(config)
    module, package = _SDKS.get(str(config["provider"]["type"]), ("", ""))
    if module and find_spec(module) is None:
        raise ResourceError(f"{package} is not installed, but Ray needs it: pip install {package}")
    verb = "dashboard" if action == "attach" and dashboard else action
    return [_ray(), verb, str(path)] + (["--yes"] if yes and action != "attach" else [])


def _kubectl_arguments(
    action: str, path: Path, documents: Sequence[Any], dashboard: bool
) -> list[str]:
    if action != "attach":
        return [{"up": "apply", "down": "delete"}[action], "-f", str(path)]
    service = f"service/{_cluster_name(path, documents)}-head-svc"
    if dashboard:
        return ["port-forward", service, "8265:8265"]
    return ["exec", "-it", service, "-c", "ray-head", "--", "bash"]


def _cluster_name(path: Path, documents: Sequence[Any]) -> str:
    for document in documents:
        if document.get("kind") == "RayCluster":
            return str(document["metadata"]["name"])
    raise UsageError(
        f"{plain(path)} contains no RayCluster. Find the cluster of a RayJob with: kubectl get "
        "rayjob NAME -o jsonpath='{.status.rayClusterName}'."
    )


def _check_token_file(config: Mapping[str, Any]) -> None:
    for remote, local in (config.get("file_mounts") or {}).items():
        if "auth_token" not in str(remote):
            continue
        file = Path(str(local)).expanduser()
        if not file.is_file() or not file.stat().st_size:
            raise ResourceError(
                f"There is no token in {plain(local)}. Create one with: "
                "(umask 077; ray get-auth-token --generate > /dev/null)"
            )
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ResourceError(
                f"Other users can read the token in {plain(local)}: chmod 600 {plain(local)}"
            )


def _check_secrets(kubectl: list[str], documents: Sequence[Any]) -> None:
    """Without the secret no pod starts, although `kubectl apply` reports no error."""
    from mimic_ray.cluster_files.kubernetes_checks import ray_clusters
    from mimic_ray.cluster_files.lookup import get

    in_file = [get(each, "metadata", "name") for each in documents if get(each, "kind") == "Secret"]
    for document in documents:
        for _, cluster in ray_clusters(document):
            name = get(cluster, "authOptions", "secretName")
            if name is None or name in in_file:
                continue
            query = [*kubectl, "get", "secret", str(name), "-o", "name"]
            result = subprocess.run(query, capture_output=True, text=True)
            # `kubectl apply` reports any other problem itself.
            if result.returncode and "not found" in result.stderr.lower():
                raise ResourceError(
                    f"Kubernetes has no secret {plain(name)} with the token. Create it with: "
                    f"kubectl create secret generic {plain(name)} "
                    "--from-file=auth_token=$HOME/.ray/auth_token"
                )


def _ray() -> str:
    """The `ray` command of this environment, which is the version that checked the file."""
    own = Path(sys.executable).with_name("ray")
    if own.is_file() and os.access(own, os.X_OK):
        return str(own)
    return _program("ray", "Install it with: pip install 'mimic-ray[cluster]'")


def _program(name: str, advice: str) -> str:
    if shutil.which(name) is None:
        raise ResourceError(f"{name} is not installed. {advice}")
    return name
