import pytest

from mimic_ray.planning.read_rates import SOURCES, reading_images_s


def test_object_storage_is_limited_by_latency_and_connections_per_worker():
    # 8 MiB at 87 MB/s take 96 ms after 150 ms; 16 at a time for each of 12 workers.
    each = 16 * (8 << 20) / (0.15 + (8 << 20) / 87e6)
    assert reading_images_s(SOURCES["object"], 31_400, 12, 8) == pytest.approx(12 * each / 31_400)


def test_the_workers_of_a_node_share_its_disk():
    on_disk = reading_images_s(SOURCES["local"], 31_400, 12, 8)
    assert on_disk == pytest.approx(2 * 1e9 / 31_400, rel=0.05)


def test_a_known_rate_of_a_node_replaces_that_of_the_source():
    assert reading_images_s(SOURCES["local"], 31_400, 12, 8, 314) == pytest.approx(20_000)
