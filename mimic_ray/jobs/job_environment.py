"""What travels with a job: this package as it is installed here, and the files of the command.

Ray stores the package's folder under a hash of its content: a changed file makes another upload,
and equal content is uploaded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mimic_ray

# gitignore patterns, relative to each folder that is uploaded. A job needs no demo (3 MB).
# ".*" would match the folder itself, which Ray calls ".".
_EXCLUDED = ("/demo_data", "__pycache__", "*.pyc", ".?*")


def job_environment(files: Path | None, variables: Mapping[str, str]) -> dict[str, Any]:
    """Ray's runtime_env of a job.

    `files` is the folder that becomes the job's working folder, with all files directly in it.
    """
    # A file that the user named travels whatever its name is.
    named = [f"!/{file.name}" for file in files.iterdir()] if files else []
    environment: dict[str, Any] = {
        "py_modules": [str(Path(mimic_ray.__file__).resolve().parent)],
        "excludes": [*_EXCLUDED, *named],
        "env_vars": dict(variables),
    }
    if files:
        environment["working_dir"] = str(files)
    return environment
