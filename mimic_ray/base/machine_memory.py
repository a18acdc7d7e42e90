"""The memory of this machine and of this process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Limits of a container, cgroup version 2 and 1; a number far above the machine's means no limit.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory_bytes() -> int:
    """The memory that processes here can have together; 0 where the system does not say."""
    found = []
    with suppress(ValueError, OSError, AttributeError):  # no such names on this system
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in _LIMITS:
        with suppress(ValueError, OSError):  # "max" is no number
            found.append(int(Path(limit).read_text()))
    return min((size for size in found if size > 0), default=0)


def resident_bytes() -> int:
    """The memory of this process now; where the system does not say, its peak so far."""
    with suppress(ValueError, OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
