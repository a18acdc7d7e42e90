"""The process that prepares the shared inputs of a search, with a fake Ray."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import DataError, StoppedError, TrainingError
from mimic_ray.base.progress import Progress
from mimic_ray.base.resources import Resources
from mimic_ray.distributed import prepare_inputs as prepare_inputs_module
from mimic_ray.distributed.prepare_inputs import prepare_inputs
from tests.distributed.local_ray import use_local_ray
from tests.distributed.lost_head import World

HERE = Resources(cpus_per_worker=2)
CLUSTER = Resources(cpus_per_worker=2, gpus_per_worker=0.5, address="10.0.0.1:6379")


class Task:
    """A Ray task that runs immediately; its two results are references."""

    def __init__(self, function):
        self.function, self.resources = function, None

    def options(self, **resources):
        Task.requested = resources
        return self

    def remote(self, *arguments):
        try:
            return self.function(*arguments)
        except Exception as error:
            return error, error


@pytest.fixture
def ray(monkeypatch):
    import ray

    use_local_ray(monkeypatch)
    actors = ray.remote

    def remote(*arguments, **options):
        return Task(arguments[0]) if arguments else actors(**options)

    def get(reference, **_):
        if isinstance(reference, Exception):
            raise reference
        return reference

    monkeypatch.setattr("ray.remote", remote)
    monkeypatch.setattr("ray.get", get)
    return monkeypatch


def prepare(on_progress):
    on_progress(Progress("decode", 3, 9))
    return "facts", "inputs"


def run(prepare, resources, shown=print, should_stop=lambda: 0):
    return prepare_inputs(prepare, resources, "ray.log", shown, should_stop)


@pytest.mark.usefixtures("ray")
def test_a_private_ray_prepares_in_the_drivers_process():
    shown = []
    assert run(prepare, HERE, shown.append) == ("facts", "inputs")
    assert [progress.phase for progress in shown] == ["decode"]


@pytest.mark.usefixtures("ray")
def test_a_cluster_prepares_with_the_resources_of_a_trial():
    assert run(prepare, CLUSTER) == ("facts", "inputs")
    assert Task.requested == {"num_cpus": 2.0, "num_gpus": 0.5, "num_returns": 2}


@pytest.mark.parametrize(
    ("error", "expected"),
    [(DataError("no images"), DataError), (RuntimeError("page\nout of memory"), TrainingError)],
)
@pytest.mark.usefixtures("ray")
def test_errors_are_converted_to_mimic_errors(error, expected):
    class TaskError(Exception):
        """The wrapper that Ray raises around the error of a task."""

        cause = error

    def fails(_on_progress):
        raise TaskError(str(error))

    with pytest.raises(expected):
        run(fails, CLUSTER)


def test_a_stop_request_cancels_the_task(ray):
    cancelled = []
    ray.setattr("ray.wait", lambda references, **_: ([], references))
    ray.setattr("ray.cancel", lambda reference, force: cancelled.append((reference, force)))
    with pytest.raises(StoppedError):
        run(prepare, CLUSTER, should_stop=lambda: 1)
    assert cancelled == [("facts", True)]


def test_a_lost_head_ends_the_preparation_before_ray_ends_the_driver(ray):
    """Nothing is recorded of a new study then, so there is nothing to resume."""
    world = World()
    world.is_up = False

    def wait(references, **_):
        world.now += 1
        assert world.now < 45
        return [], references

    ray.setattr("ray.wait", wait)
    ray.setattr(prepare_inputs_module, "cluster_head", world.health_of)
    with pytest.raises(TrainingError, match=r"head of the cluster.*run the same command again"):
        run(prepare, CLUSTER)


@pytest.mark.usefixtures("ray")
def test_a_stop_request_ends_a_preparation_in_this_process_at_its_next_progress():
    shown = []
    with pytest.raises(StoppedError, match="before a trial had started"):
        run(prepare, HERE, shown.append, should_stop=lambda: 1)
    assert shown == []
