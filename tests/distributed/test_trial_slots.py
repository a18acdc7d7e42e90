"""How a search follows the nodes of its cluster, with a fake Ray."""

from __future__ import annotations

import importlib
import time
from threading import Event
from types import SimpleNamespace

import pytest

from mimic_ray.base.resources import Resources
from mimic_ray.distributed import trial_slots
from mimic_ray.distributed.trial_slots import TrialSlots

FOUR_GPUS = {"CPU": 32.0, "GPU": 4.0}
ONE_GPU = Resources(cpus_per_worker=1, gpus_per_worker=1.0)


@pytest.fixture
def world(monkeypatch):
    """Nodes that a test changes, the open requests, and the time."""
    found = SimpleNamespace(nodes=[FOUR_GPUS], requests=[], now=0.0)
    # `ray.util` has a function with the name of the module.
    module = importlib.import_module("ray.util.placement_group")

    def placement_group(bundles):
        group = SimpleNamespace(bundles=bundles, placed=False)
        group.wait = lambda _: group.placed
        found.requests.append(group)
        return group

    monkeypatch.setattr(module, "placement_group", placement_group)
    monkeypatch.setattr(module, "remove_placement_group", found.requests.remove)
    monkeypatch.setattr(trial_slots, "cluster_nodes", lambda: found.nodes)

    def poll(slots, running, remaining=16):
        found.now += 2
        slots.poll(running, remaining)
        assert slots._calls.join(5)
        return slots.now, len(found.requests)

    found.poll = poll
    found.slots = lambda **more: TrialSlots(
        more.pop("resources", ONE_GPU),
        **{"now": 4, "most": 16, "requests_nodes": True, **more},
        clock=lambda: found.now,
    )
    return found


def test_what_is_wanted_and_does_not_fit_is_requested(world):
    slots = world.slots()
    assert world.poll(slots, running=4) == (4, 12)
    assert world.requests[0].bundles == [{"CPU": 1.0, "GPU": 1.0}]
    world.nodes = [FOUR_GPUS] * 3
    assert world.poll(slots, running=4) == (12, 4)
    assert world.poll(slots, running=12) == (12, 4)


def test_nothing_is_requested_while_trials_are_starting(world):
    """The request would take the slot of one of them."""
    assert world.poll(world.slots(), running=3) == (4, 0)


def test_a_request_that_was_placed_gives_its_slot_to_a_trial(world):
    slots = world.slots()
    world.poll(slots, running=4)
    world.requests[0].placed = True
    assert world.poll(slots, running=4) == (4, 11)


def test_trials_with_workers_request_all_of_them(world):
    slots = world.slots(resources=Resources(workers=2, cpus_per_worker=16), now=1, most=2)
    assert world.poll(slots, running=1) == (1, 1)
    assert world.requests[0].bundles == [{"CPU": 16.0}] * 2


def test_no_more_is_requested_than_remains_to_be_run(world):
    slots = world.slots()
    assert world.poll(slots, running=4, remaining=6) == (4, 2)
    assert world.poll(slots, running=4, remaining=5) == (4, 1)


def test_a_cluster_without_growth_is_followed_and_not_asked(world):
    slots = world.slots(requests_nodes=False)
    assert world.poll(slots, running=4) == (4, 0)
    world.nodes = [FOUR_GPUS] * 2
    assert world.poll(slots, running=4) == (8, 0)
    world.nodes = []
    assert world.poll(slots, running=4) == (1, 0)


def test_the_end_of_the_search_ends_its_requests(world):
    slots = world.slots()
    world.poll(slots, running=4)
    slots.close()
    assert world.requests == []


def test_nodes_are_looked_at_every_two_seconds(world):
    slots = world.slots()
    world.poll(slots, running=4)
    world.nodes = [FOUR_GPUS] * 2
    for later, expected in ((1.9, 4), (0.1, 8)):
        world.now += later
        slots.poll(4, 16)
        assert slots._calls.join(5)
        assert slots.now == expected


def test_a_head_that_does_not_answer_holds_neither_the_search_nor_its_end(world, monkeypatch):
    answer = Event()
    monkeypatch.setattr(trial_slots, "cluster_nodes", lambda: answer.wait(60) and [])
    monkeypatch.setattr(trial_slots, "_CLOSE_S", 0.05)
    started = time.monotonic()
    slots = world.slots()
    for _ in range(10):
        world.now += 2
        slots.poll(4, 16)
    slots.close()
    assert time.monotonic() - started < 30
    assert slots.now == 4
    answer.set()
    assert slots._calls.join(5)
