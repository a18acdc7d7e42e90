"""Fills the templates of cluster files (templates/*.yaml)."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from mimic_ray.cluster_files import versions
from mimic_ray.cluster_files.cluster_spec import ClusterSpec

if TYPE_CHECKING:
    from jinja2 import Environment


def render(spec: ClusterSpec) -> str:
    """A file for `ray up` or for `kubectl apply`, with the command that creates it on top."""
    name = spec.kind if spec.provider == "kuberay" else "ray_up"
    body = _templates().get_template(f"{name}.yaml").render(spec=spec, ray_version=versions.RAY)
    command = shlex.join(render_command(spec))
    return f"# Created by: {command}\n# Check it with: mimic-ray cluster validate\n{body}"


def render_command(spec: ClusterSpec) -> list[str]:
    """The shortest command line with the settings of `spec`."""
    words = ["mimic-ray", "cluster", "render"]
    for field in fields(ClusterSpec):
        value = getattr(spec, field.name)
        if field.name not in ("provider", "gpu", "workers") and value == field.default:
            continue
        option = "--" + field.name.replace("_", "-")
        if field.name == "node_selector":
            words += [word for key, label in value for word in (option, f"{key}={label}")]
        elif field.name != "job":
            words += [option] if value is True else [option, str(value)]
    return words + (["--", *spec.job] if spec.job else [])


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("mimic_ray.cluster_files"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=yaml_scalar,  # every {{ value }} is quoted if YAML needs it
    )


def yaml_scalar(value: object) -> str:
    """One line of YAML that reads back as `value`, for any characters in a text."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    text = text.removesuffix("\n").removesuffix("\n...")
    # JSON is YAML. A flow mapping needs quotes around these characters.
    return json.dumps(value) if set(text) & set("\n,[]{}") else text
