"""A file of `ray up` against Ray's own schema and rules, and our tables for what Ray hands on.

Ray's functions are private (`ray.autoscaler._private.util`): the version is pinned, a test calls
them, and whatever they raise is a finding.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import UsageError
from mimic_ray.base.text import plain
from mimic_ray.cluster_files.cloud_keys import cloud_problems
from mimic_ray.cluster_files.findings import Problem, nearest, unknown
from mimic_ray.cluster_files.ray_start import start_command_problems
from mimic_ray.cluster_files.strict import problems

PROVIDERS = ("aws", "gcp", "azure", "aliyun", "vsphere", "local", "external", "kuberay")


def ray_up_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """All mistakes that the schema finds; only without any are Ray's own rules asked."""
    found = [
        *problems(ray_schema(), config),
        *_provider(config),
        *_node_types(config),
        *cloud_problems(config),
        *start_command_problems(config),
    ]
    yield from found
    if not any(problem.level == "error" for problem in found):
        yield from _rules(config)


@cache
def ray_schema() -> dict[str, Any]:
    """Ray's schema of cluster files, from the installed package, without importing it."""
    spec = find_spec("ray")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("Files of `ray up` are checked by Ray itself: pip install 'ray[default]'.")
    text = (Path(spec.submodule_search_locations[0]) / "autoscaler/ray-schema.json").read_text()
    schema: dict[str, Any] = json.loads(text)
    del schema["$schema"]  # draft 7: nothing in it differs, and errors come from one validator
    return schema


def _provider(config: Mapping[str, Any]) -> Iterator[Problem]:
    provider = config.get("provider")
    kind = provider.get("type") if isinstance(provider, Mapping) else None
    if isinstance(kind, str) and kind not in PROVIDERS:
        what = f'Ray has no provider "{plain(kind)}".'
        yield Problem(("provider", "type"), what, "error", nearest(kind, PROVIDERS))


def _node_types(config: Mapping[str, Any]) -> Iterator[Problem]:
    types = config.get("available_node_types")
    if not isinstance(types, Mapping):
        return
    head = config.get("head_node_type")
    if isinstance(head, str) and head not in types:
        yield unknown(("head_node_type",), "node type", head, types)
    for name, node_type in types.items():
        if isinstance(node_type, Mapping):
            least, most = node_type.get("min_workers", 0), node_type.get("max_workers")
            if isinstance(least, int) and isinstance(most, int) and least > most:
                place = ("available_node_types", name, "min_workers")
                yield Problem(place, f"min_workers {least} is more than max_workers {most}.")


def _rules(config: Mapping[str, Any]) -> Iterator[Problem]:
    """What Ray says when it fills in its defaults: head type, sums of workers, container name."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    # It prints and logs advice that is not for our user.
    quiet = io.StringIO()
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            validate_config(prepare_config(copy.deepcopy(dict(config))))
    except Exception as error:
        said = plain(str(error).splitlines()[0] if str(error) else type(error).__name__)
        yield Problem(_place(said), f"Ray refuses it: {said.rstrip('.')}.")
    finally:
        logging.disable(level)


def _place(said: str) -> tuple[str, ...]:
    for word, place in (
        ("head_node_type", ("head_node_type",)),
        ("max_workers", ("max_workers",)),
        ("container", ("docker",)),
    ):
        if word in said:
            return place
    return ()
