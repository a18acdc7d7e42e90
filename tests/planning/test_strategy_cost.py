import pytest

from mimic_ray.planning.strategy_cost import Cluster, Workload, strategy_cost
from tests.planning.test_throughput import CARD
from tests.planning.traced import TRACED

CLUSTER = Cluster(CARD, 1, "bf16", 0.5)


def test_a_slow_source_lengthens_only_the_first_epoch():
    fast = strategy_cost(TRACED, "ddp", CLUSTER, 1, Workload(1000, 100, 1e9))
    slow = strategy_cost(TRACED, "ddp", CLUSTER, 1, Workload(1000, 100, fast.images_s / 10))
    assert fast.hours * 3600 == pytest.approx(1000 / fast.images_s)
    assert slow.hours * 3600 == pytest.approx((900 + 10 * 100) / fast.images_s)


def test_cached_views_cost_one_forward_of_the_teacher_each():
    plain = strategy_cost(TRACED, "ddp", CLUSTER, 1, Workload(1000, 100, 1e9))
    cached = strategy_cost(TRACED, "ddp", CLUSTER, 1, Workload(1000, 100, 1e9, cached_views=400))
    assert cached.hours - plain.hours == pytest.approx(400 / 4 / plain.images_s / 3600)


def test_a_strategy_fits_up_to_the_usable_share_of_the_memory():
    cost = strategy_cost(TRACED, "ddp", CLUSTER, 1, Workload(1000, 100, 1e9))
    assert cost.fits
    assert cost.bottleneck == cost.bounds[0].by
    small = Cluster(type(CARD)(**{**vars(CARD), "memory": cost.memory.total}), 1, "bf16", 0.5)
    assert not strategy_cost(TRACED, "ddp", small, 1, Workload(1000, 100, 1e9)).fits
