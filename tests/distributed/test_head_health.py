import socket

import pytest

from mimic_ray.base.errors import TrainingError
from mimic_ray.distributed.head_health import LOST_AFTER_S, Head


class World:
    """A clock, and a head that answers or not."""

    def __init__(self):
        self.now, self.there, self.asked = 0.0, True, 0

    def answers(self, _):
        self.asked += 1
        return self.there

    def pass_by(self, head, seconds):
        for _ in range(int(seconds)):
            self.now += 1
            head.check()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def head(world):
    return Head("10.0.0.1:6379", now=lambda: world.now, answers=world.answers)


def test_a_head_that_answers_is_asked_now_and_then_for_ever(world, head):
    world.pass_by(head, 1000)
    assert 100 < world.asked < 250


def test_an_outage_that_is_over_in_time_is_none(world, head):
    for _ in range(3):
        world.there = False
        world.pass_by(head, LOST_AFTER_S - 6)
        world.there = True
        world.pass_by(head, 6)


def test_a_head_that_is_gone_ends_the_run_before_ray_would(world, head):
    world.there = False
    with pytest.raises(TrainingError, match=r"10\.0\.0\.1:6379, has not answered.*--resume"):
        world.pass_by(head, 120)
    # Ray ends the driver after 60 s, and its own end takes some as well.
    assert world.now < 45


def test_a_real_port_is_asked_by_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        world = World()
        head = Head(f"127.0.0.1:{port}", now=lambda: world.now)
        world.pass_by(head, 100)
    with pytest.raises(TrainingError):
        world.pass_by(head, 100)
