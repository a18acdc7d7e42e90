"""Two real processes give what one gives: losses, weights, adversary, and who reads which image.

Student in copies or in parts, batch norm and contrastive negatives over both workers.
"""

import pytest
import torch

from mimic_ray.method.collectives import ProcessGroup
from tests.method.two_workers import CASES, RESUMED, STEPS, endings, resumed, work

# Sums in another order differ in the last digits of float32. Adam divides by the gradient's size,
# so a few weights with a tiny one may differ by a fraction of a step, which is 1.6e-4 or more.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
FEW, FRACTION_OF_A_STEP = 1e-4, 4e-5


@pytest.fixture(scope="module")
def one():
    threads = torch.get_num_threads()
    yield endings(ProcessGroup())
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_workers")
    torch.multiprocessing.spawn(work, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


each_case = pytest.mark.parametrize("case", CASES)


def alike(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        close = torch.isclose(ours[name], expected, **CLOSE)
        assert (~close).sum() <= FEW * close.numel()
        torch.testing.assert_close(ours[name], expected, rtol=1e-5, atol=FRACTION_OF_A_STEP)


@each_case
def test_each_step_s_numbers_are_those_of_one_process(one, two, case):
    for ours in two:
        assert len(ours[case]["rows"]) == STEPS
        for row, expected in zip(ours[case]["rows"], one[case]["rows"], strict=True):
            assert row == pytest.approx(expected, rel=1e-5, abs=1e-5)


@each_case
def test_the_weights_and_statistics_are_those_of_one_process(one, two, case):
    alike(two[0][case]["student"], one[case]["student"])


@each_case
def test_the_adversary_s_canvases_are_those_of_one_process(one, two, case):
    for ours, expected in zip(two[0][case]["canvases"], one[case]["canvases"], strict=True):
        torch.testing.assert_close(ours, expected, **CLOSE)


@each_case
def test_the_two_workers_hold_the_same_bits(two, case):
    first, second = (ours[case] for ours in two)
    assert first["rows"] == second["rows"]
    assert all(map(torch.equal, first["canvases"], second["canvases"]))
    if not CASES[case].sharded:  # then only rank 0 writes the whole of it down
        for name, weight in first["student"].items():
            assert torch.equal(weight, second["student"][name])


@each_case
def test_the_two_shares_make_up_the_global_batch(one, two, case):
    shares = zip(two[0][case]["asked"], two[1][case]["asked"], strict=True)
    for (left, right), whole in zip(shares, one[case]["asked"], strict=True):
        assert abs(len(left) - len(right)) <= 1
        assert left + right == whole


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if case.sharded])
def test_what_is_sharded_lies_in_halves(two, one, case):
    for module in ("parameters", "teacher's"):
        whole, parts = one[case][module], [ours[case][module] for ours in two]
        if module == "parameters" or CASES[case].teacher:
            assert max(parts) <= 0.6 * whole
            assert sum(parts) == whole
        else:
            assert parts == [whole, whole]


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_of_one_resumed_on_two_ends_like_an_unbroken_one(one, two, case):
    alike(two[0][f"{case}, resumed"]["student"], one[case]["student"])


@pytest.mark.parametrize("case", RESUMED)
def test_a_run_of_two_resumed_on_one_ends_like_an_unbroken_one(one, two, case):
    ours = resumed(case, ProcessGroup(), two[0][f"{case}, half way"])
    alike(ours["student"], one[case]["student"])
    assert ours["rows"][0]["step"] == STEPS // 2 + 1
