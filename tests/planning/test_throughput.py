"""Bounds and demands against arithmetic done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.planning import hardware
from mimic_ray.planning.calibrate import Rates, at_width, predict
from mimic_ray.planning.memory import memory
from mimic_ray.planning.read_rates import SOURCES, reading_images_s
from mimic_ray.planning.strategy_cost import Cluster, Length, way
from mimic_ray.planning.throughput import bounds, loader, sent_bytes
from mimic_ray.planning.trace import Trace, Work

# One part of a step: 10 images, 4,000 bytes of parameters, 1,000 FLOPs of each network's view.
TRACED = Trace(
    batch=10,
    student_parameters=1000,
    teacher_parameters=1000,
    parameter_bytes=4000,
    teacher_bytes=4000,
    largest_unit_bytes=500,
    forward_flops=1000,
    teacher_flops=1000,
    student_flops=3000,
    traffic=8000,
    work=(
        Work("matrix", 0, 600, 100),
        Work("convolution", 64, 400, 100),
        Work("other", 0, 0, 300),
    ),
    activations=7000,
    views=200,
    gradients=4000,
    workspace=50,
    peak_alone=19_250,
)
CARD = hardware.Hardware(
    "card", memory=1e6, bf16=4000, fp32=1000, bandwidth=10_000, link=6000, network=600, per_node=2
)


def test_each_bound_is_the_batch_over_the_time_of_its_resource():
    found = {bound.by: bound.images_s for bound in bounds(TRACED, CARD, "bf16", "ddp", 2, 1, 0.5)}
    assert found["compute"] == pytest.approx(10 * 0.5 * 4000 / 4000)
    assert found["memory bandwidth"] == pytest.approx(10 * 0.8 * 10_000 / 8000)
    # Two devices send the gradients once each: 2 * 1/2 * 4,000 bytes.
    assert found["collectives"] == pytest.approx(10 * 0.7 * 6000 / 4000)
    assert bounds(TRACED, CARD, "bf16", "ddp", 2, 1, 0.5)[0].by == "compute"


def test_beyond_a_node_the_network_carries_the_gradients():
    slowest = bounds(TRACED, CARD, "bf16", "ddp", 4)[0]
    assert slowest.by == "collectives"
    assert slowest.images_s == pytest.approx(10 * 0.7 * 600 / (2 * 3 / 4 * 4000))


def test_sharding_sends_half_as_much_again_and_in_every_part():
    ddp = sent_bytes(TRACED, "ddp", 4)
    assert sent_bytes(TRACED, "fsdp", 4) == pytest.approx(1.5 * ddp)
    assert sent_bytes(TRACED, "fsdp+teacher", 4) == pytest.approx(2 * ddp)
    assert sent_bytes(TRACED, "fsdp", 4, accumulate=3) == pytest.approx(4.5 * ddp)
    assert sent_bytes(TRACED, "ddp", 4, accumulate=3) == ddp


def test_adam_keeps_two_numbers_a_parameter_and_one_device_is_at_its_traced_peak():
    assert memory(TRACED, "ddp", 4).optimiser == 8000
    assert memory(TRACED, "ddp", 4).total == 4000 + 4000 + 8000 + 4000 + 7000 + 200 + 50
    # 23,250 without gradients, so a traced peak below means that none was there yet.
    assert memory(TRACED, "ddp", 1).gradients == 0
    late = replace(TRACED, peak_alone=24_000)
    assert memory(late, "ddp", 1).total == 24_000


def test_the_loader_of_one_h100_on_vit_b16_is_that_of_the_measured_table():
    need = loader(2850, 64_000, 256, 31_400)
    assert need.decode_cores == pytest.approx(1.0, abs=0.05)
    assert need.read_mb_s == pytest.approx(90, rel=0.01)
    assert need.cache_gb == pytest.approx(12.6, rel=0.01)
    assert need.cached_cores < 0.1
    # 110 kB originals take three and a half times as long to decode.
    assert loader(2850, 64_000, 256, 110_000).decode_cores == pytest.approx(3.6, abs=0.2)


RATES = Rates(
    device="cpu",
    precision="fp32",
    matrix_peak=1e3,
    matrices=((8, 300),),
    convolutions=((16, 50), (256, 200)),
    patches=((32, 10), (128, 40)),
    bandwidth=100,
    start_s={"matrix": 1, "convolution": 2, "patches": 4, "other": 0.5},
)


def test_a_step_takes_the_sum_of_its_starts_and_its_work():
    # 64 channels lie half way between 16 and 256 in logarithms: 100 FLOP/s, or 20 as patches.
    assert at_width(RATES.convolutions, 64) == pytest.approx(100)
    assert at_width(RATES.convolutions, 3) == 50
    assert at_width(RATES.convolutions, 512) == 200
    more = replace(TRACED, work=(*TRACED.work, Work("patches", 64, 60, 9, operations=5)))
    working = 600 / 300 + 400 / 100 + 300 / 100 + 60 / 20
    assert predict(more, RATES) == pytest.approx(working + 1 + 2 + 0.5 + 5 * 4)


def test_on_a_gpu_starts_hide_behind_the_work_or_the_work_behind_them():
    gpu = replace(RATES, device="cuda")
    assert predict(TRACED, gpu) == pytest.approx(600 / 300 + 400 / 100 + 300 / 100)
    many = replace(TRACED, work=(Work("other", 0, 0, 300, operations=90),))
    assert predict(many, gpu) == pytest.approx(90 * 0.5)


def test_many_small_kernels_are_bound_by_their_starts():
    small = replace(TRACED, work=(Work("other", 0, 0, 10, operations=5_000_000),))
    slowest = bounds(small, CARD, "bf16", "ddp", 1)[0]
    assert slowest.by == "kernel starts"
    assert slowest.images_s == pytest.approx(10 / 50)


def test_object_storage_is_bound_by_latency_and_connections_and_a_disk_by_its_node():
    # 8 MiB at 87 MB/s take 96 ms after 150 ms; 16 at a time for each of 12 workers.
    each = 16 * (8 << 20) / (0.15 + (8 << 20) / 87e6)
    assert reading_images_s(SOURCES["object"], 31_400, 12, 8) == pytest.approx(12 * each / 31_400)
    on_disk = reading_images_s(SOURCES["local"], 31_400, 12, 8)
    assert on_disk == pytest.approx(2 * 1e9 / 31_400, rel=0.05)
    assert reading_images_s(SOURCES["local"], 31_400, 12, 8, 314) == pytest.approx(20_000)


def test_a_slow_source_lengthens_the_first_epoch_alone():
    cluster = Cluster(CARD, 1, "bf16", 0.5)
    fast = way(TRACED, "ddp", cluster, 1, Length(1000, 100, 1e9))
    slow = way(TRACED, "ddp", cluster, 1, Length(1000, 100, fast.images_s / 10))
    assert fast.hours * 3600 == pytest.approx(1000 / fast.images_s)
    assert slow.hours * 3600 == pytest.approx((900 + 10 * 100) / fast.images_s)


def test_later_nodes_each_read_the_set_once():
    need = loader(1000, 64_000, 256, 31_400, reading_images_s=500, nodes=3)
    assert need.read_gb == pytest.approx(3 * 64_000 * 31_400 / 1e9)
    assert need.limit_mb_s == pytest.approx(500 * 31_400 / 1e6)
    assert need.decode_cores == pytest.approx(500 / 2770)  # no more come than the source gives


def test_an_unknown_card_is_answered_with_near_names():
    with pytest.raises(UnknownNameError, match=r"Did you mean .*h100"):
        hardware.find("h1000")
    assert hardware.find("H100").name == "h100"
