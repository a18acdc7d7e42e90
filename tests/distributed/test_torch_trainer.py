"""The configuration of the TorchTrainer; nothing starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mimic_ray.base.resources import Resources
from mimic_ray.distributed.torch_trainer import (
    on_one_machine,
    torch_trainer,
    worker_device,
    worker_group,
)


def trained(resources, nodes=({"CPU": 4.0},), storage="/runs/a/.ray"):
    return torch_trainer(
        lambda config: config, "config", storage, resources, nodes, start_retries=1
    )


def scaling(resources, nodes=({"CPU": 4.0},)):
    return trained(resources, nodes).scaling_config


def test_each_worker_gets_its_resources():
    found = scaling(Resources(workers=3, cpus_per_worker=2, gpus_per_worker=0.5))
    assert (found.num_workers, found.use_gpu) == (3, True)
    assert found.resources_per_worker == {"CPU": 2.0, "GPU": 0.5}
    assert not scaling(Resources(cpus_per_worker=1)).use_gpu


@pytest.mark.parametrize(
    ("address", "nodes", "expected"),
    [
        ("10.0.0.1:6379", [{"CPU": 1}], (1, 3)),
        # No node joins a private Ray, so it does not wait for more than fit.
        (None, [{"CPU": 2}], (1, 2)),
        (None, [{"CPU": 1}], 1),
    ],
)
def test_an_elastic_run_requests_a_range(address, nodes, expected):
    elastic = Resources(workers=3, min_workers=1, cpus_per_worker=1, address=address)
    assert scaling(elastic, nodes).num_workers == expected


def test_restarts_and_failed_starts_are_limited():
    failures = trained(Resources(cpus_per_worker=1, max_failures=5)).run_config.failure_config
    assert (failures.max_failures, failures.controller_failure_limit) == (5, 1)


def test_no_two_runs_have_the_same_name():
    """Otherwise Ray would resume the first one."""
    resources = Resources(cpus_per_worker=1)
    assert trained(resources).run_config.name != trained(resources).run_config.name


def test_each_worker_gets_the_config():
    trainer = trained(Resources(cpus_per_worker=1))
    assert trainer.train_loop_per_worker(trainer.train_loop_config) == "config"


def test_a_worker_has_its_rank_and_its_own_gpu(monkeypatch):
    context = SimpleNamespace(
        get_world_rank=lambda: 5, get_world_size=lambda: 8, get_local_rank=lambda: 1
    )
    monkeypatch.setattr("ray.train.get_context", lambda: context)
    monkeypatch.setattr("ray.train.torch.get_device", lambda: "cuda:1")
    group = worker_group()
    assert (group.rank, group.world_size, group.local_rank) == (5, 8, 1)
    assert worker_device() == "cuda:1"


@pytest.mark.parametrize(("local", "expected"), [(2, True), (1, False)])
def test_workers_are_on_one_machine_if_all_are_local(monkeypatch, local, expected):
    context = SimpleNamespace(get_local_world_size=lambda: local, get_world_size=lambda: 2)
    monkeypatch.setattr("ray.train.get_context", lambda: context)
    assert on_one_machine() is expected
