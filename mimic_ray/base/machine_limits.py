"""The CPUs that this process may use, which a container or a scheduler may limit.

`nproc` and torch see the CPUs of the machine. A quota (`docker --cpus`, a limit of Kubernetes) does
not hide the others: with more threads than the quota allows, the kernel stops all of them for most
of each period.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cpus(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> int:
    """The fewest of the machine's CPUs, the process's affinity and its quota; at least 1.

    `cgroups` is where the hierarchy is mounted (version 1 or 2), `own_cgroup` lists the groups of
    this process. A fraction of a CPU is not counted.
    """
    cpus = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    folders = group_folders("cpu", cgroups, own_cgroup)
    quotas = [quota for folder in folders for quota in _quotas(folder)]
    return max(1, int(min([cpus, *quotas])))


def machine_load() -> tuple[float, int]:
    """The mean number of processes that ran or waited for a core in the last minute, 0 if unknown,
    and the cores of the whole machine."""
    with suppress(OSError):
        return os.getloadavg()[0], os.cpu_count() or 1
    return 0.0, os.cpu_count() or 1


def group_folders(controller: str, cgroups: Path, own_cgroup: Path) -> Iterator[Path]:
    """The group of this process and all above it, up to the mounted one, where `controller` sets
    its limits.

    In a container, the names in /proc may be those outside of it and then do not exist.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = own_cgroup.read_text().splitlines()
    for line in ["0::/", f"0:{controller}:/", *lines]:
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = cgroups / controllers
        below = Path(name.lstrip("/"))
        for part in (below, *below.parents):
            yield top / part


def _quotas(folder: Path) -> Iterator[float]:
    """CPUs by version 2 (`cpu.max`: quota or "max", and period) and by version 1 (-1: none)."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()
        yield float(quota) / float(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota = (folder / "cpu.cfs_quota_us").read_text()
        if float(quota) > 0:
            yield float(quota) / float((folder / "cpu.cfs_period_us").read_text())
