"""The releases of Ray that the uses of its private parts were tested with.

These uses are in distributed/ray_private.py, ray_private_node.py, jobs/ray_private_jobs.py and
cluster_files/ray_definitions.py. A new minor release of Ray may break any of them. To support one:
run the tests of these files, adapt them, raise `SUPPORTED_RAY` and the range in pyproject.toml.
"""

from __future__ import annotations

from importlib import metadata

from mimic_ray.base.errors import ResourceError

# At least, and below. pyproject.toml has the same range for pip.
SUPPORTED_RAY = ("2.60", "2.62")


def check_ray_version() -> None:
    """Raises ResourceError for an unsupported release of Ray."""
    installed = metadata.version("ray")
    lowest, limit = SUPPORTED_RAY
    if not _minor(lowest) <= _minor(installed) < _minor(limit):
        raise ResourceError(
            f"Ray {installed} is installed, and this version of mimic-ray needs Ray {lowest} or "
            f'newer, below {limit}: pip install "ray[train,tune]>={lowest},<{limit}".'
        )


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
