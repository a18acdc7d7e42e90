"""Each benchmark runs at a tiny size. `make bench` measures; here a collapse would show."""

import json
from importlib import import_module

import pytest
import torch

from benchmarks.ratio import Ratio, measure, one_thread

TINY = ["--encoder", "tiny_resnet", "--rounds", "1"]


def test_the_ratio_is_baseline_time_over_ours():
    assert Ratio("x", baseline_s=6.0, ours_s=2.0, target=None, detail="").ratio == 3.0


def test_the_sides_take_turns_and_the_first_round_is_a_warm_up():
    calls = []
    slow = lambda: (calls.append("slow"), sum(range(200_000)))  # noqa: E731
    fast = lambda: (calls.append("fast"), sum(range(1_000)))  # noqa: E731
    taken = measure({"slow": slow, "fast": fast}, rounds=3)
    assert calls == ["slow", "fast"] * 4
    assert taken["slow"] > 5 * taken["fast"]


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


# The promised ratios are 8, 2.5, 8 and 5; half of that leaves room for the noise of a busy machine.
@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("name", ["augmentation", "image_loading"])
def test_views_and_loading_are_faster_than_the_baseline_by_half_the_promise(name):
    for ratio in import_module(f"benchmarks.{name}").benchmark(seconds=0.1):
        assert ratio.ratio > ratio.target / 2
        assert 0 < ratio.ours_s < 0.1


@pytest.mark.parametrize(
    ("name", "arguments", "rows"),
    [
        ("training_step", [*TINY, "--batch", "4"], 4),
        ("mi_profile", [*TINY, "--images", "128"], 1),
        ("depthwise", ["--encoder", "mobilenetv2_035@32", "--batch", "2"], 2),
    ],
)
def test_a_script_prints_its_ratios_as_json_and_as_a_table(name, arguments, rows, capsys):
    module = import_module(f"benchmarks.{name}")
    module.main([*arguments, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert len(printed) == rows
    assert all(row["ratio"] == row["baseline_s"] / row["ours_s"] > 0 for row in printed)
    module.main(arguments)
    assert printed[0]["name"] in capsys.readouterr().out
