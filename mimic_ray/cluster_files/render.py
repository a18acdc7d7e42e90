"""The text of a cluster file, with the command that writes it on top."""

from __future__ import annotations

import shlex
from dataclasses import fields

from mimic_ray.cluster_files import kuberay, ray_up
from mimic_ray.cluster_files.cluster_spec import ClusterSpec
from mimic_ray.cluster_files.yaml_writer import yaml_text


def render(wanted: ClusterSpec) -> str:
    """A file for `ray up`, or for `kubectl apply`."""
    maker = kuberay if wanted.provider == "kuberay" else ray_up
    header = f"Written by: {shlex.join(command(wanted))}\nCheck it with: mimic-ray cluster validate"
    return yaml_text(maker.documents(wanted), header)


def command(wanted: ClusterSpec) -> list[str]:
    """The shortest command line that asks for `wanted`."""
    words = ["mimic-ray", "cluster", "render"]
    for field in fields(ClusterSpec):
        value = getattr(wanted, field.name)
        if field.name not in ("provider", "gpu", "workers") and value == field.default:
            continue
        if field.name == "node_selector":
            for key, wants in value:
                words += ["--node-selector", f"{key}={wants}"]
        elif field.name != "job":
            flag = "--" + field.name.replace("_", "-")
            words += [flag] if value is True else [flag, str(value)]
    return words + (["--", *wanted.job] if wanted.job else [])
