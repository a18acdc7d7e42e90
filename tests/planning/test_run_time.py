"""The parts of a run's time against arithmetic by hand."""

from __future__ import annotations

import pytest

from mimic_ray.planning import run_time
from mimic_ray.planning.run_time import Workload, commits_s, fill_s, time_parts


def test_only_parts_that_take_time_are_listed_and_training_always():
    names = [part.name for part in time_parts(Workload(100, 2), 10, 40, with_ray=False)]
    assert names == ["start-up", "training"]
    everything = Workload(100, 2, 5, copy_s=3, forwards=80, state_bytes=1e9)
    seconds = {part.name: part.seconds for part in time_parts(everything, 10, 40, with_ray=True)}
    assert seconds["first copy"] == 3
    assert seconds["preparation and checks"] == 2
    assert seconds["training"] == 20
    assert list(seconds)[-2:] == ["cache fill", "commits"]


def test_one_node_decodes_each_image_in_the_first_epoch():
    # 100 images train in 10 s and are decoded in 20 s.
    assert fill_s(Workload(100, 5, 5, nodes=1), 10) == pytest.approx(10)
    assert fill_s(Workload(100, 5, 10, nodes=1), 10) == 0


def test_several_nodes_decode_in_later_epochs_what_their_shares_have_not_had():
    # Two nodes: all of the first epoch, half of the second, a quarter of the third; 10 s of
    # training hide 10 s of decoding.
    found = fill_s(Workload(100, 5, fill_images_s=100 / 80, nodes=2), 10)
    assert found == pytest.approx((80 - 10) + (40 - 10) + (20 - 10))


def test_commits_cost_their_copies_and_the_last_one_its_writing(monkeypatch):
    monkeypatch.setattr(run_time, "COPY_BYTES_S", 10)
    monkeypatch.setattr(run_time, "WRITE_BYTES_S", 1)
    # One byte: 0.1 s to copy, 1 s to write, so one in 11 s.
    assert commits_s(Workload(1, 1, state_bytes=1), 32) == pytest.approx(0.1 * 3 + 1)
    assert commits_s(Workload(1, 1, state_bytes=1, publish_bytes_s=1), 32) == pytest.approx(
        0.1 * 3 + 2
    )
    # Ten bytes: a copy of 1 s in 50 s is 2 % of the time.
    assert commits_s(Workload(1, 1, state_bytes=10), 120) == pytest.approx(3 + 10)


def test_commits_take_at_most_two_percent_of_a_long_run():
    for state_bytes in (1e6, 1e9, 1e11):
        work = Workload(1, 1, state_bytes=state_bytes)
        assert commits_s(work, 1e7) < 0.0201 * 1e7
