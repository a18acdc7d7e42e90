import socket

import pytest

from mimic_ray.base.errors import TrainingError
from mimic_ray.distributed.head_health import LOST_AFTER_S, HeadHealth


class World:
    """A clock, and a head that may stop answering."""

    def __init__(self):
        self.now, self.is_up, self.connections = 0.0, True, 0

    def answers(self, _):
        self.connections += 1
        return self.is_up

    def wait(self, health, seconds):
        for _ in range(int(seconds)):
            self.now += 1
            health.check()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def health(world):
    return HeadHealth("10.0.0.1:6379", now=lambda: world.now, answers=world.answers)


def test_a_head_that_answers_is_checked_every_few_seconds(world, health):
    world.wait(health, 1000)
    assert 100 < world.connections < 250


def test_short_outages_are_ignored(world, health):
    for _ in range(3):
        world.is_up = False
        world.wait(health, LOST_AFTER_S - 6)
        world.is_up = True
        world.wait(health, 6)


def test_a_lost_head_ends_the_run_before_ray_ends_the_driver(world, health):
    world.is_up = False
    with pytest.raises(TrainingError, match=r"10\.0\.0\.1:6379, has not answered.*resume=True"):
        world.wait(health, 120)
    # Ray kills the driver after 60 s, and a clean shutdown takes time too.
    assert world.now < 45


def test_a_real_port_is_checked_by_a_connection():
    world = World()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        health = HeadHealth(f"127.0.0.1:{port}", now=lambda: world.now)
        world.wait(health, 100)
    with pytest.raises(TrainingError):
        world.wait(health, 100)
