import socket
from types import SimpleNamespace

import pytest

from mimic_ray.base.errors import TrainingError
from mimic_ray.distributed.head_health import (
    AGAIN_ADVICE,
    LOST_AFTER_S,
    HeadHealth,
    cluster_head,
)
from tests.distributed.lost_head import World


@pytest.fixture
def world():
    return World()


@pytest.fixture
def health(world):
    return world.health()


def test_a_head_that_answers_is_checked_every_few_seconds(world, health):
    world.wait(1000, health.check)
    assert 100 < world.connections < 250


def test_short_outages_are_ignored(world, health):
    for _ in range(3):
        world.is_up = False
        world.wait(LOST_AFTER_S - 6, health.check)
        world.is_up = True
        world.wait(6, health.check)


def test_a_lost_head_ends_the_run_before_ray_ends_the_driver(world, health):
    world.is_up = False
    with pytest.raises(TrainingError, match=r"10\.0\.0\.1:6379, has not answered.*resume=True"):
        world.wait(120, health.check)
    # Ray kills the driver after 60 s, and a clean shutdown takes time too.
    assert world.now < 45


def test_a_real_port_is_checked_by_a_connection():
    world = World()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        health = HeadHealth(f"127.0.0.1:{port}", now=lambda: world.now)
        world.wait(100, health.check)
    with pytest.raises(TrainingError):
        world.wait(100, health.check)


def test_where_there_is_nothing_to_resume_the_advice_is_to_start_again(world):
    world.is_up = False
    with pytest.raises(TrainingError, match="run the same command again") as caught:
        world.wait(120, world.health(AGAIN_ADVICE).check)
    assert "resume" not in str(caught.value)


def test_a_private_ray_has_no_head_to_check(monkeypatch):
    context = SimpleNamespace(gcs_address="10.0.0.1:6379")
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    assert cluster_head(None) is None
    assert cluster_head("auto")._address == "10.0.0.1:6379"
