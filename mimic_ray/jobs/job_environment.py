"""The files that are uploaded with a job: the installed package and the files of the command.

Ray stores the package's folder under a hash of its content, so equal content is uploaded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimic_ray.base.package import HOME

# gitignore patterns, relative to each uploaded folder. A job does not need the demo (3 MB).
# Ray calls the folder itself ".", which ".*" would match.
_EXCLUDED = ("/demo_data", "__pycache__", "*.pyc", ".?*")


def job_environment(files: Path | None, variables: Mapping[str, str]) -> dict[str, Any]:
    """Ray's runtime_env of a job.

    `files` is the folder that becomes the job's working folder, with all files directly in it.
    """
    # Files that the user named are always uploaded.
    named = [f"!/{file.name}" for file in files.iterdir()] if files else []
    environment: dict[str, Any] = {
        "py_modules": [str(HOME / "mimic_ray")],
        "excludes": [*_EXCLUDED, *named],
        "env_vars": dict(variables),
    }
    if files:
        environment["working_dir"] = str(files)
    return environment
