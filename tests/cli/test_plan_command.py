"""`mimic-ray plan`, as a user runs it."""

from __future__ import annotations

import json

import pytest

from mimic_ray.cli.app import main

SMALL = ["plan", "--encoder", "tiny_resnet", "--images", "4096", "--epochs", "10"]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([*SMALL, *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def plan(capsys, *arguments: str) -> dict:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_the_table_names_a_strategy_the_bottleneck_and_the_loader(capsys):
    code, out, _ = run(capsys, "--gpus", "2", "--gpu", "l4", "--batch", "64")
    assert code == 0
    for word in ("activations", "optimiser", "teacher", "bottleneck", "cores", "ddp *", "bound by"):
        assert word in out, word
    assert "cost" in out
    assert "With --price-per-hour" in out


def test_gpu_hours_and_cost_follow_from_rate_and_price(capsys):
    found = plan(
        capsys,
        "--gpus",
        "2",
        "--gpu",
        "l4",
        "--batch",
        "64",
        "--price-per-hour",
        "3",
        "--read-mb-s",
        "100000",
    )
    seconds = 10 * (4096 // 128) * 128 / found["chosen"]["images_s"]
    assert found["gpu_hours"] == pytest.approx(2 * seconds / 3600)
    assert found["cost"] == pytest.approx(3 * found["gpu_hours"])
    assert plan(capsys, "--batch", "64")["cost"] is None


def test_sharding_divides_the_student_and_then_the_teacher(capsys):
    found = plan(capsys, "--gpus", "4", "--batch", "64")
    ddp, fsdp, both = (way["memory"] for way in found["ways"])
    for part in ("parameters", "gradients", "optimiser"):
        assert fsdp[part] == ddp[part] // 4 == both[part], part
    assert fsdp["teacher"] == ddp["teacher"] == pytest.approx(4 * both["teacher"], abs=4)
    assert ddp["gathered"] == 0 < fsdp["gathered"] < both["gathered"]


def test_the_default_batch_is_filled_by_the_images(capsys):
    found = plan(capsys, "--gpus", "64")
    assert found["batch"] == 64
    assert found["steps"] == 10


def test_a_recipe_with_the_contrastive_term_costs_a_second_view(capsys):
    one = plan(capsys, "--batch", "64")
    two = plan(capsys, "--batch", "64", "--set", "loss.contrastive=1")
    assert two["traced"]["student_flops"] > 1.8 * one["traced"]["student_flops"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpus", "0"], "--gpus 0"),
        (["--gpu", "h10"], 'no gpu "h10". Did you mean h100'),
        (["--encoder", "tiny_resent"], "Did you mean tiny_resnet"),
        (["--images", "100", "--gpus", "2", "--batch", "64"], "100 images do not fill"),
        (["--batch", "1"], "use 2 or more"),
        (["--batch", "-3"], "--batch -3"),
        (
            [
                *("--gpus", "2", "--batch", "1", "--set", "loss.contrastive=1"),
                *("--set", "loss.negatives=local"),
            ],
            "no negatives",
        ),
        (["--strategy", "fdsp"], "--strategy fdsp must be auto or ddp or fsdp"),
        (["--strategy", "ddp", "--teacher", "sharded"], "--teacher sharded needs"),
        (["--price-per-hour", "-1"], "--price-per-hour"),
        (["--utilisation", "40"], "--utilisation"),
        (["--epochs", "0"], "--epochs 0"),
        (["--image-bytes", "0"], "--image-bytes 0"),
        (["--read-mb-s", "-1"], "--read-mb-s"),
        (["--source", "tape"], "--source tape must be local or object"),
    ],
)
def test_a_wrong_option_is_one_sentence(capsys, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1, err


def test_what_does_not_fit_is_said_with_changes_that_make_it_fit(capsys):
    huge = ["--gpus", "2", "--gpu", "t4", "--images", "4000000", "--accumulate", "1"]
    code, out, _ = run(capsys, *huge, "--batch", "65536")
    assert code == 0
    assert "It does not fit" in out
    assert "hours" not in out.split("does not fit")[1]
    found = plan(capsys, *huge, "--batch", "65536")
    assert found["chosen"] is None
    assert len(found["advice"]) > 1
    for proposal in found["advice"]:
        options = proposal.split(" with ")[0].split(",")[0].split()
        assert plan(capsys, *huge, "--batch", "65536", *options)["chosen"], proposal


def test_a_slow_source_lengthens_the_run(capsys):
    fast = plan(capsys, "--batch", "64", "--read-mb-s", "1000000")
    slow = plan(capsys, "--batch", "64", "--read-mb-s", "10")
    first_epoch_s = 4096 * 31_400 / 10e6
    assert slow["chosen"]["hours"] * 3600 > first_epoch_s > 5 * fast["chosen"]["hours"] * 3600
    _, out, _ = run(capsys, "--batch", "64", "--source", "object")
    assert "object storage, which gives 545" in out


def test_a_teacher_of_fixed_views_is_asked_once_where_a_run_would_do_so(capsys):
    fixed = ["--batch", "64", "--set", "views.fixed=2"]
    found = plan(capsys, *fixed)
    assert found["traced"]["teacher_flops"] == 0
    assert found["recorded"] == 2 * 4096
    assert plan(capsys, "--batch", "64")["recorded"] == 0
    assert plan(capsys, *fixed, "--gpus", "2")["recorded"] == 0  # several workers ask it anew
    assert plan(capsys, *fixed, "--epochs", "1")["recorded"] == 0  # it would not repay


@pytest.mark.slow
def test_this_cpu_can_be_planned_for_and_a_real_step_is_shown_beside(capsys):
    found = plan(
        capsys, "--gpu", "cpu", "--batch", "32", "--calibrate", "--precision", "fp32",
        "--device", "cpu", "--threads", "1",
    )  # fmt: skip
    assert found["calibration"]["batch"] == 32
    assert found["chosen"]["bounds"][0]["by"] == "this CPU, measured"
    assert found["calibration"]["step_s"] > 0
    assert 0 < found["calibration"]["utilisation"] < 3
