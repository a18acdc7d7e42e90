"""A trial's processes as Ray starts them, with Ray's answers made up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mimic_ray.distributed import trial_process
from mimic_ray.execution.trial_run import TrialTask

TASK = TrialTask("/study", "0a", 0, {}, {}, "tiny_resnet", ())


@pytest.fixture
def started(monkeypatch):
    """The tasks and ranks that workers were started with."""
    calls = []
    monkeypatch.setattr("ray.get", lambda reference: reference)
    monkeypatch.setattr(
        "mimic_ray.distributed.run_control.WorkerEnd", lambda box: SimpleNamespace()
    )
    monkeypatch.setattr(
        trial_process, "run_trial", lambda task, inputs, **more: calls.append((task, more["group"]))
    )
    return calls


def test_each_worker_of_a_machine_takes_its_own_gpu(started, monkeypatch):
    """All of them see all GPUs of the machine, and a bare "cuda" is the first in a new thread."""
    for rank in (0, 1):
        context = SimpleNamespace(
            get_world_rank=lambda rank=rank: rank,
            get_world_size=lambda: 2,
            get_local_rank=lambda rank=rank: rank,
        )
        device = torch.device(f"cuda:{rank}")
        monkeypatch.setattr("ray.train.get_context", lambda context=context: context)
        monkeypatch.setattr("ray.train.torch.get_device", lambda device=device: device)
        trial_process._worker({"task": TASK, "inputs": None, "mailbox": None, "own": None})
    assert [(task.device, group.local_rank) for task, group in started] == [
        ("cuda:0", 0),
        ("cuda:1", 1),
    ]
