from dataclasses import replace

import pytest

from mimic_ray.planning.read_rates import SOURCES, copy_s, node_bytes_s, reading_images_s


def test_object_storage_is_limited_by_latency_and_connections_of_a_node():
    # 32 MiB at 87 MB/s take 386 ms after 150 ms; 8 at a time.
    each = 8 * (32 << 20) / (0.15 + (32 << 20) / 87e6)
    assert node_bytes_s(SOURCES["object"]) == pytest.approx(each)


def test_each_node_copies_the_whole_set_from_object_storage_before_the_first_step():
    opening = 6 * 0.15
    copied = copy_s(SOURCES["object"], 1e9)
    assert copied == pytest.approx(opening + 1e9 / node_bytes_s(SOURCES["object"]))
    assert copy_s(SOURCES["object"], 1e9, node_mb_s=100) == pytest.approx(opening + 10)
    assert copy_s(SOURCES["local"], 1e9) == 0
    # Then they are read from its disk.
    rates = [reading_images_s(SOURCES[name], 31_400, 2) for name in ("local", "object")]
    assert rates[0] == rates[1]


@pytest.mark.parametrize(("delay_s", "images_s"), [(0.01, 790), (0.03, 762), (0.15, 560)])
def test_the_copy_takes_what_was_measured_with_a_server_that_answers_late(delay_s, images_s):
    """docs/measurements/image-loading_cpu: 2,000 images in one shard of 94 MB; 975 images/s from
    local disk. The rate of a connection to that server, 82 MB/s, is that of the first row."""
    server = replace(SOURCES["object"], connection=82e6, latency_s=delay_s)
    measured = 2000 / images_s - 2000 / 975
    assert copy_s(server, 94e6) == pytest.approx(measured, rel=0.1)


def test_each_node_has_its_disk():
    on_disk = reading_images_s(SOURCES["local"], 31_400, 2)
    assert on_disk == pytest.approx(2 * 1e9 / 31_400, rel=0.05)


def test_a_known_rate_of_a_node_replaces_that_of_the_source():
    assert reading_images_s(SOURCES["local"], 31_400, 2, 314) == pytest.approx(20_000)
