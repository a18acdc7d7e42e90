"""Bounds and loading against arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimic_ray.planning.hardware import Hardware
from mimic_ray.planning.throughput import bounds, loader, sent_bytes
from mimic_ray.planning.trace import Work
from tests.planning.traced import TRACED

CARD = Hardware(
    "card", memory=1e6, bf16=4000, fp32=1000, bandwidth=10_000, link=6000, network=600, per_node=2
)


def test_each_bound_is_the_batch_over_the_time_of_its_resource():
    found = {bound.by: bound.images_s for bound in bounds(TRACED, CARD, "bf16", "ddp", 2, 1, 0.5)}
    assert found["compute"] == pytest.approx(10 * 0.5 * 4000 / 4000)
    assert found["memory bandwidth"] == pytest.approx(10 * 0.8 * 10_000 / 8000)
    # Two devices send the gradients once each: 2 * 1/2 * 4,000 bytes.
    assert found["collectives"] == pytest.approx(10 * 0.7 * 6000 / 4000)
    assert bounds(TRACED, CARD, "bf16", "ddp", 2, 1, 0.5)[0].by == "compute"


def test_several_nodes_send_gradients_over_the_network():
    slowest = bounds(TRACED, CARD, "bf16", "ddp", 4)[0]
    assert slowest.by == "collectives"
    assert slowest.images_s == pytest.approx(10 * 0.7 * 600 / (2 * 3 / 4 * 4000))


def test_fsdp_sends_one_and_a_half_times_as_much_as_ddp_and_in_every_part():
    ddp = sent_bytes(TRACED, "ddp", 4)
    assert sent_bytes(TRACED, "fsdp", 4) == pytest.approx(1.5 * ddp)
    assert sent_bytes(TRACED, "fsdp+teacher", 4) == pytest.approx(2 * ddp)
    assert sent_bytes(TRACED, "fsdp", 4, accumulate=3) == pytest.approx(4.5 * ddp)
    assert sent_bytes(TRACED, "ddp", 4, accumulate=3) == ddp


def test_many_small_kernels_are_limited_by_their_launches():
    small = replace(TRACED, work=(Work("other", 0, 0, 10, operations=5_000_000),))
    slowest = bounds(small, CARD, "bf16", "ddp", 1)[0]
    assert slowest.by == "kernel launches"
    assert slowest.images_s == pytest.approx(10 / 50)


def test_loading_for_one_h100_on_vit_b16_agrees_with_the_measured_rates():
    need = loader(2850, 64_000, 256, 31_400)
    assert need.decode_cores == pytest.approx(1.0, abs=0.05)
    assert need.read_mb_s == pytest.approx(90, rel=0.01)
    assert need.cache_gb == pytest.approx(12.6, rel=0.01)
    assert need.cached_cores < 0.1
    # 110 kB originals take three and a half times as long to decode.
    assert loader(2850, 64_000, 256, 110_000).decode_cores == pytest.approx(3.6, abs=0.2)


def test_every_node_reads_the_whole_set():
    need = loader(1000, 64_000, 256, 31_400, reading_images_s=500, nodes=3)
    assert need.read_gb == pytest.approx(3 * 64_000 * 31_400 / 1e9)
    assert need.limit_mb_s == pytest.approx(500 * 31_400 / 1e6)
    assert need.decode_cores == pytest.approx(500 / 2770)  # the source provides no more
