"""The definitions of cluster files in the installed Ray: schema, rules, providers and options.

This is the only module here that imports Ray, and it starts nothing. Most of these definitions are
private in Ray: see base/ray_version.py. The tests of this module show changes of a new release.
Every function raises ResourceError for a release that is not supported.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mimic_ray.base.ray_version import check_ray_version
from mimic_ray.base.text import plain


@cache
def ray_schema() -> dict[str, Any]:
    """Ray's schema of `ray up` files, read without importing Ray."""
    check_ray_version()
    spec = find_spec("ray")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("ray is not installed")
    text = (Path(spec.submodule_search_locations[0]) / "autoscaler/ray-schema.json").read_text()
    schema: dict[str, Any] = json.loads(text)
    del schema["$schema"]  # draft 7; read as draft 2020-12 it means the same
    return schema


def provider_names() -> list[str]:
    """The clouds that `provider.type` can name."""
    check_ray_version()
    from ray.autoscaler._private.providers import _NODE_PROVIDERS

    return list(_NODE_PROVIDERS)


@cache
def start_options() -> frozenset[str]:
    """The options of `ray start` without their dashes."""
    check_ray_version()
    from ray.scripts.scripts import start

    names = [name for option in start.params for name in (*option.opts, *option.secondary_opts)]
    return frozenset(name.removeprefix("--") for name in names if name.startswith("--"))


def refusal(config: Mapping[str, Any]) -> str:
    """Why Ray refuses a file that matches its schema; empty if it accepts the file."""
    check_ray_version()
    from ray.autoscaler._private.util import prepare_config, validate_config

    # Ray also prints and logs unrelated advice.
    unused = io.StringIO()
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(unused), contextlib.redirect_stderr(unused):
            validate_config(prepare_config(copy.deepcopy(dict(config))))
    except Exception as error:
        return plain(str(error).splitlines()[0] if str(error) else type(error).__name__)
    finally:
        logging.disable(level)
    return ""
