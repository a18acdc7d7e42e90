"""The memory of this machine and of this process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mimic_ray.base.machine_limits import CGROUPS, OWN_CGROUP, group_folders

# Of a group of processes, cgroup version 2 and 1; a number far above the machine's means no limit.
_LIMITS = ("memory.max", "memory.limit_in_bytes")


def physical_bytes() -> int:
    """The memory of the machine; 0 where the system does not say."""
    with suppress(ValueError, OSError, AttributeError):  # no such names on this system
        return max(0, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return 0


def machine_memory_bytes(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> int:
    """The memory that processes here can have together: the machine's, or what the limits of a
    container or a scheduler leave of it. 0 where the system does not say.

    `cgroups` and `own_cgroup` are as in `usable_cpus`.
    """
    found = [physical_bytes()]
    for folder in group_folders("memory", cgroups, own_cgroup):
        for limit in _LIMITS:
            with suppress(ValueError, OSError):  # "max" means no limit
                found.append(int((folder / limit).read_text()))
    return min((size for size in found if size > 0), default=0)


def resident_bytes() -> int:
    """The memory of this process now; where the system does not say, its peak so far."""
    with suppress(ValueError, OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
