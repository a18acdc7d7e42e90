"""The memory of this machine, with and without the limit of a container."""

from __future__ import annotations

import numpy as np
import pytest

from mimic_ray.base.machine_memory import machine_memory_bytes, physical_bytes, resident_bytes

# Files below the mount of cgroups -> text; the lines of /proc/self/cgroup.
LIMITS = {
    "version 2 in a container": ({"memory.max": "123456789\n"}, "0::/"),
    "version 1 in a container": ({"memory/memory.limit_in_bytes": "123456789\n"}, ""),
    "version 2 of a job": (
        {"memory.max": "max\n", "job/memory.max": "123456789\n", "job/step/memory.max": "max\n"},
        "0::/job/step",
    ),
    "version 1 of a job": (
        {
            "memory/memory.limit_in_bytes": f"{1 << 62}\n",
            "memory/slurm/job/memory.limit_in_bytes": "123456789\n",
        },
        "5:cpu:/other\n4:memory:/slurm/job",
    ),
    "names of outside": ({"memory.max": "123456789\n"}, "0::/docker/1234"),
}


def limited(folder, files, own):
    for path, text in files.items():
        (folder / "cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup" / path).write_text(text)
    (folder / "own").write_text(own)
    return machine_memory_bytes(folder / "cgroup", folder / "own")


@pytest.mark.parametrize("case", LIMITS)
def test_the_limit_of_a_container_or_a_job_counts(case, tmp_path):
    assert limited(tmp_path, *LIMITS[case]) == 123456789


@pytest.mark.parametrize("text", ["max\n", f"{1 << 62}\n", ""])
def test_without_a_limit_it_is_the_memory_of_the_machine(text, tmp_path):
    whole = limited(tmp_path, {"memory.max": text}, "0::/")
    assert whole == physical_bytes() > 1 << 28


def test_the_memory_of_this_process_grows_with_what_it_holds():
    before = resident_bytes()
    held = np.ones(8_000_000)  # 64 MB
    assert 60e6 < resident_bytes() - before < 200e6
    assert held[0] == 1
