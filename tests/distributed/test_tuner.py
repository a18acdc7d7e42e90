"""The configuration of a search on Ray Tune; nothing starts."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mimic_ray.base.errors import ResourceError, TrainingError
from mimic_ray.base.resources import Resources
from mimic_ray.distributed import tuner as module
from mimic_ray.distributed.tuner import SearchCluster, search_cluster
from mimic_ray.method.recipe import Recipe
from mimic_ray.search.search_plan import SearchPlan
from mimic_ray.search.space import Space
from mimic_ray.store.study_store import open_study
from tests.distributed.local_ray import use_local_ray

ONE_CPU = Resources(cpus_per_worker=1)
PLAN = SearchPlan("tiny_resnet", Space(()), Recipe(), None, trials=4, seed=0)


@pytest.fixture
def connected(monkeypatch):
    """Connects to a cluster of these nodes; returns the arguments of the session."""
    seen = SimpleNamespace()

    def session(address, _log, cpus, variables):
        seen.address, seen.cpus, seen.variables = address, cpus, variables
        return nullcontext()

    monkeypatch.setattr(module, "ray_session", session)

    def on(nodes, largest=None):
        monkeypatch.setattr(module, "cluster_nodes", lambda: nodes)
        monkeypatch.setattr(module, "largest_cluster", lambda: largest)
        monkeypatch.setattr(module, "wait_for_capacity", lambda *_: None)
        return seen

    return on


def cluster(resources, tmp_path):
    return search_cluster(resources, tmp_path / "log", lambda progress: None, lambda: 0)


def test_as_many_trials_run_as_fit_the_cluster(connected, tmp_path):
    seen = connected([{"CPU": 8.0, "GPU": 2.0}])
    with cluster(Resources(address="10.0.0.1:6379"), tmp_path) as found:
        assert (found.concurrent, found.resources.gpus_per_worker) == (2, 1.0)
    assert (seen.address, seen.cpus) == ("10.0.0.1:6379", None)
    assert "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S" not in seen.variables


def test_waiting_for_nodes_raises_trains_limit_for_the_start(connected, tmp_path):
    seen = connected([{"CPU": 8.0}])
    with cluster(Resources(address="10.0.0.1:6379", capacity_timeout_s=900), tmp_path):
        assert seen.variables["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] == "900"


def test_a_search_grows_to_the_declared_maximum_or_asks_for_what_it_wants(connected, tmp_path):
    first, eight = [{"CPU": 96.0, "GPU": 8.0}], [{"CPU": 96.0, "GPU": 8.0}] * 8
    anywhere = Resources(address="10.0.0.1:6379")
    connected(first, eight)
    with cluster(anywhere, tmp_path) as found:
        assert (found.concurrent, found.most, found.grows) == (8, 64, True)
    connected(first)
    with cluster(replace(anywhere, capacity_timeout_s=900), tmp_path) as found:
        assert (found.concurrent, found.grows) == (8, True)
        assert found.most > 10**6
    with cluster(anywhere, tmp_path) as found:  # uses nodes that join, and asks for none
        assert found.most > 10**6
        assert not found.grows
    with cluster(replace(anywhere, concurrent_trials=2), tmp_path) as found:
        assert (found.concurrent, found.most) == (2, 2)


def test_the_memory_of_a_trial_counts(connected, tmp_path):
    connected([{"CPU": 8.0, "memory": 10e9}])
    address = Resources(address="10.0.0.1:6379")
    with search_cluster(
        address, tmp_path / "log", lambda news: None, lambda: 0, 3 * 10**9
    ) as found:
        assert found.concurrent == 3
        assert found.resources.each() == {"CPU": 1.0, "memory": 3e9}


def test_a_cluster_that_fits_no_trial_is_refused(connected, tmp_path):
    connected([{"CPU": 1.0}])
    wide = Resources(cpus_per_worker=4, address="10.0.0.1:6379")
    with pytest.raises(ResourceError, match="No trial fits"), cluster(wide, tmp_path):
        pass


@pytest.fixture
def search(monkeypatch, tmp_path):
    """Runs a search whose `Tuner.fit()` is `fit`; returns the arguments of the Tuner."""
    from ray import tune

    use_local_ray(monkeypatch)
    (tmp_path / "study").mkdir()
    study = open_study(tmp_path / "study", "driver")
    made = SimpleNamespace()

    def run(fit, resources=ONE_CPU, requests=0):
        def tuner(trainable, tune_config, run_config):
            made.trainable, made.tune, made.run = trainable, tune_config, run_config
            return SimpleNamespace(fit=fit)

        monkeypatch.setattr(tune, "Tuner", tuner)
        monkeypatch.setattr(tune, "with_parameters", lambda work, **_: work)
        monkeypatch.setattr(tune, "with_resources", lambda work, placement: placement)
        found = SearchCluster(resources, 3, 8, False, lambda progress: None, lambda: requests)
        found.run(study, PLAN, [], "inputs", lambda progress: None)
        return made

    return run


def test_a_trial_of_one_worker_has_its_resources(search):
    made = search(lambda: None, Resources(cpus_per_worker=2, gpus_per_worker=0.5))
    assert made.trainable.bundles == [{"CPU": 2.0, "GPU": 0.5}]
    assert (made.tune.num_samples, made.tune.max_concurrent_trials) == (4, 4)


def test_a_trial_with_workers_needs_no_cpu_itself(search):
    """Otherwise watching trials could fill the cluster, and none of their workers could start."""
    made = search(lambda: None, Resources(workers=2, cpus_per_worker=1))
    assert "CPU" not in made.trainable.bundles[0]


def test_a_failure_of_tune_itself_keeps_the_ended_trials(search):
    def fit():
        raise RuntimeError("disk full")

    with pytest.raises(TrainingError, match=r"Tune failed: RuntimeError: disk full.*resume=True"):
        search(fit)


def test_a_search_that_is_stopped_before_it_starts_runs_nothing(search):
    def fit():
        raise AssertionError

    search(fit, requests=1)
