"""CPUs that a container or a scheduler allows, with cgroup files of both versions."""

from __future__ import annotations

import pytest

from mimic_ray.base.machine_limits import usable_cpus

# cgroup files -> CPUs of a process that may run on eight.
LIMITS = {
    "version 2, in a container": ({"cpu.max": "200000 100000\n"}, "0::/\n", 2),
    "version 2, a part of a CPU more": ({"cpu.max": "250000 100000\n"}, "0::/\n", 2),
    "version 2, less than one": ({"cpu.max": "50000 100000\n"}, "0::/\n", 1),
    "version 2, no limit": ({"cpu.max": "max 100000\n"}, "0::/\n", 8),
    "version 2, above the process": (
        {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"},
        "0::/a/b\n",
        3,
    ),
    "version 2, more than there are": ({"cpu.max": "6400000 100000\n"}, "0::/\n", 8),
    "version 1, in a container": (
        {"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        "5:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n",
        4,
    ),
    "version 1, of the process": (
        {
            "cpu,cpuacct/job/cpu.cfs_quota_us": "100000\n",
            "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        },
        "4:cpu,cpuacct:/job\n",
        1,
    ),
    "version 1, no limit": (
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        "4:cpu:/\n",
        8,
    ),
    "a file that cannot be understood": ({"cpu.max": "?\n"}, "0::/\n", 8),
    "no cgroups": ({}, None, 8),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_quota_limits_the_cpus(tmp_path, monkeypatch, name):
    files, own, expected = LIMITS[name]
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    for path, text in files.items():
        (tmp_path / "cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / path).write_text(text)
    if own is not None:
        (tmp_path / "own").write_text(own)
    assert usable_cpus(tmp_path / "cgroup", tmp_path / "own") == expected
