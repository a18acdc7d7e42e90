"""Two real processes give what one gives: losses, weights, adversary, and who reads which image.

Batch norms are frozen here; in a run each worker normalises its own part of the batch.
"""

import pytest
import torch
from two_workers import BATCH, CASES, STEPS, endings, free_port, work

from mimic_ray.method.ranks import Ranks

# Sums in another order differ in the last digits of float32, and Adam passes that on.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def one():
    threads = torch.get_num_threads()
    yield endings(Ranks())
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_workers")
    torch.multiprocessing.spawn(work, args=(free_port(), str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


each_case = pytest.mark.parametrize("case", [*CASES, "resumed"])


@each_case
def test_each_step_s_numbers_are_those_of_one_process(one, two, case):
    for ours in two:
        assert len(ours[case]["rows"]) == (STEPS // 2 if case == "resumed" else STEPS)
        for row, expected in zip(ours[case]["rows"], one[case]["rows"], strict=True):
            assert row == pytest.approx(expected, rel=1e-5, abs=1e-5)


@each_case
def test_the_weights_are_those_of_one_process(one, two, case):
    for name, expected in one[case]["student"].items():
        torch.testing.assert_close(two[0][case]["student"][name], expected, **CLOSE)


@each_case
def test_the_adversary_s_canvases_are_those_of_one_process(one, two, case):
    for ours, expected in zip(two[0][case]["canvases"], one[case]["canvases"], strict=True):
        torch.testing.assert_close(ours, expected, **CLOSE)


@each_case
def test_the_two_workers_hold_the_same_bits(two, case):
    first, second = (ours[case] for ours in two)
    assert first["rows"] == second["rows"]
    for name, weight in first["student"].items():
        assert torch.equal(weight, second["student"][name])
    assert all(map(torch.equal, first["canvases"], second["canvases"]))


@each_case
def test_the_two_shares_make_up_the_global_batch(one, two, case):
    shares = zip(two[0][case]["asked"], two[1][case]["asked"], strict=True)
    for (left, right), whole in zip(shares, one[case]["asked"], strict=True):
        assert len(left) == len(right) == BATCH // 2
        assert left + right == whole


def test_a_run_resumed_on_two_workers_ends_like_an_unbroken_one(one, two):
    for name, expected in one["every term"]["student"].items():
        torch.testing.assert_close(two[0]["resumed"]["student"][name], expected, **CLOSE)
