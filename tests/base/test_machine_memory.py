"""The memory of this machine, with and without the limit of a container."""

from __future__ import annotations

import numpy as np

from mimic_ray.base import machine_memory
from mimic_ray.base.machine_memory import machine_memory_bytes, resident_bytes


def test_a_limit_of_a_container_counts_and_no_limit_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_memory, "_LIMITS", ())
    whole = machine_memory_bytes()
    assert whole > 1 << 28
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine_memory, "_LIMITS", (str(limit),))
    for text, wanted in (("123456789\n", 123456789), ("max\n", whole), (f"{1 << 62}\n", whole)):
        limit.write_text(text)
        assert machine_memory_bytes() == wanted


def test_the_memory_of_this_process_grows_with_what_it_holds():
    before = resident_bytes()
    held = np.ones(8_000_000)  # 64 MB
    assert 60e6 < resident_bytes() - before < 200e6
    assert held[0] == 1
