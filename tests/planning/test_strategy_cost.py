import pytest

from mimic_ray.planning.run_time import Workload
from mimic_ray.planning.strategy_cost import Cluster, strategy_cost
from tests.planning.test_throughput import CARD
from tests.planning.traced import TRACED

CLUSTER = Cluster(CARD, 1, "bf16", 0.5)


def test_the_hours_are_the_sum_of_the_parts():
    work = Workload(100, 10, copy_s=7, forwards=40, state_bytes=1e9)
    cost = strategy_cost(TRACED, "ddp", CLUSTER, 1, work)
    assert cost.hours * 3600 == pytest.approx(sum(part.seconds for part in cost.parts))
    seconds = {part.name: part.seconds for part in cost.parts}
    assert seconds["training"] == pytest.approx(1000 / cost.images_s)
    # The teacher's forward pass is a quarter of the FLOPs of a step.
    assert seconds["preparation and checks"] == pytest.approx(40 / 4 / cost.images_s)


def test_several_devices_start_with_ray_and_prepare_on_one():
    work = Workload(100, 10, forwards=40)
    one, two = (
        {part.name: part.seconds for part in strategy_cost(TRACED, "ddp", each, 1, work).parts}
        for each in (CLUSTER, Cluster(CARD, 2, "bf16", 0.5))
    )
    assert two["start-up"] > one["start-up"]
    assert two["preparation and checks"] == pytest.approx(one["preparation and checks"])


def test_a_strategy_fits_up_to_the_usable_share_of_the_memory():
    cost = strategy_cost(TRACED, "ddp", CLUSTER, 1, Workload(100, 10))
    assert cost.fits
    assert cost.bottleneck == cost.bounds[0].by
    small = Cluster(type(CARD)(**{**vars(CARD), "memory": cost.memory.total}), 1, "bf16", 0.5)
    assert not strategy_cost(TRACED, "ddp", small, 1, Workload(100, 10)).fits
