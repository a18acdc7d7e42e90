import pytest
import torch

from mimic_ray.workflows.bench_augment import bench_augment
from mimic_ray.workflows.bench_loader import bench_loader
from mimic_ray.workflows.bench_ratio import Ratio, one_thread, picture_pixels, take_turns


def test_a_ratio_is_their_time_over_ours():
    assert Ratio("x", plain_s=6.0, ours_s=2.0, wanted=None, detail="").ratio == 3.0


def test_both_sides_take_turns_and_the_first_round_is_a_warm_up():
    calls = []
    slow = lambda: (calls.append("slow"), sum(range(200_000)))  # noqa: E731
    fast = lambda: (calls.append("fast"), sum(range(1_000)))  # noqa: E731
    slow_s, fast_s = take_turns(slow, fast, seconds=0.0)
    assert calls == ["slow", "fast"] * 4
    assert slow_s > 5 * fast_s


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_pictures_have_detail_on_every_scale():
    pictures = picture_pixels(20, 32).float()
    assert pictures.std() > 30
    for distance in (1, 4, 16):
        assert (pictures[..., distance:] - pictures[..., :-distance]).abs().mean() > 3


# Promised are 8, 2.5 and 8. Under a loaded machine's noise a test only guards against a collapse.
@pytest.mark.parametrize("bench", [bench_augment, bench_loader])
def test_ours_is_faster_by_a_multiple(bench):
    for ratio in bench(seconds=0.2):
        assert ratio.ratio > ratio.wanted / 2
        assert 0 < ratio.ours_s < 0.1
