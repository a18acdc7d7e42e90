"""`mimic-ray plan`."""

from __future__ import annotations

import csv
import json
import re

import pytest

from mimic_ray.cli.app import main
from mimic_ray.cli.plan_command import _GPUS
from mimic_ray.cli.plan_table import as_options
from mimic_ray.planning.hardware import HARDWARE
from tests.support.console_width import PIPE, set_width

SMALL = ["plan", "--encoder", "tiny_resnet", "--images", "4096", "--epochs", "10"]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([*SMALL, *arguments])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def plan(capsys, *arguments: str) -> dict:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_the_table_shows_strategies_the_bottleneck_and_loading(capsys):
    code, out, _ = run(capsys, "--gpus", "2", "--gpu", "l4", "--batch", "64")
    assert code == 0
    for word in (
        "activations",
        "optimiser",
        "teacher",
        "bottleneck",
        "cores",
        "ddp *",
        "limited by",
    ):
        assert word in out, word
    assert "cost" in out
    assert "Set --price-per-hour" in out


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
    seconds = sum(part["seconds"] for part in found["chosen"]["parts"])
    assert seconds > 10 * (4096 // 128) * 128 / found["chosen"]["images_s"]
    assert found["gpu_hours"] == pytest.approx(2 * seconds / 3600)
    assert found["cost"] == pytest.approx(3 * found["gpu_hours"])
    assert plan(capsys, "--batch", "64")["cost"] is None


def test_sharding_divides_the_student_and_then_the_teacher(capsys):
    found = plan(capsys, "--gpus", "4", "--batch", "64")
    ddp, fsdp, both = (way["memory"] for way in found["strategies"])
    for part in ("parameters", "gradients", "optimiser"):
        assert fsdp[part] == ddp[part] // 4 == both[part], part
    assert fsdp["teacher"] == ddp["teacher"] == pytest.approx(4 * both["teacher"], abs=4)
    assert ddp["gathered"] == 0 < fsdp["gathered"] < both["gathered"]


def test_the_default_batch_is_small_enough_for_the_images(capsys):
    found = plan(capsys, "--gpus", "64")
    assert found["batch"] == 64
    assert found["steps"] == 10


def test_the_contrastive_term_costs_a_second_view(capsys):
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
        (["--batch", "1"], "--batch 1 on one GPU"),
        (["--batch", "-3"], "--batch -3"),
        (
            [
                *("--gpus", "2", "--batch", "1", "--set", "loss.contrastive=1"),
                *("--set", "loss.contrastive.negatives=local"),
            ],
            "needs two images",
        ),
        (["--strategy", "fdsp"], "--strategy fdsp must be auto or ddp or fsdp"),
        (
            ["--strategy", "ddp", "--teacher-placement", "sharded"],
            "--teacher-placement sharded needs",
        ),
        (["--price-per-hour", "-1"], "--price-per-hour"),
        (["--utilisation", "40"], "--utilisation"),
        (["--epochs", "0"], "--epochs 0"),
        (["--image-bytes", "0"], "--image-bytes 0"),
        (["--read-mb-s", "-1"], "--read-mb-s"),
        (["--source", "tape"], "--source tape must be local or object"),
    ],
)
def test_a_wrong_option_gives_one_line(capsys, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1, err


def test_changes_that_make_a_run_fit_are_proposed(capsys):
    huge = ["--gpus", "2", "--gpu", "t4", "--images", "4000000"]
    code, out, _ = run(capsys, *huge, "--batch", "65536")
    assert code == 0
    assert "does not fit" in out
    assert "hours" not in out.split("does not fit")[1]
    found = plan(capsys, *huge, "--batch", "65536")
    assert found["chosen"] is None
    assert len(found["advice"]) > 1
    for changes in found["advice"]:
        options = as_options(changes).split()
        assert plan(capsys, *huge, "--batch", "65536", *options)["chosen"], options


def parts(found: dict) -> dict[str, float]:
    return {part["name"]: part["seconds"] for part in found["chosen"]["parts"]}


def test_a_slow_source_lengthens_the_run(capsys):
    fast = parts(plan(capsys, "--batch", "64", "--read-mb-s", "1000000"))
    slow = parts(plan(capsys, "--batch", "64", "--read-mb-s", "10"))
    first_epoch_s = 4096 * 31_400 / 10e6
    assert slow["cache fill"] == pytest.approx(first_epoch_s - fast["training"] / 10, rel=0.01)


def test_object_storage_is_copied_first_and_each_part_has_a_line(capsys):
    found = parts(plan(capsys, "--batch", "64", "--source", "object", "--read-mb-s", "10"))
    opening = 6 * 0.15  # requests one after the other
    assert found["first copy"] == pytest.approx(opening + 4096 * 31_400 / 10e6)
    _, out, _ = run(capsys, "--batch", "64", "--source", "object")
    for name in found:
        assert name == "cache fill" or f"time: {name} " in out
    assert "object storage (which provides 501 MB/s)" in " ".join(out.split())


def test_the_teacher_runs_once_on_fixed_views_if_a_run_caches_its_outputs(capsys):
    fixed = ["--batch", "64", "--set", "views.fixed=2"]
    found = plan(capsys, *fixed)
    assert found["traced"]["teacher_flops"] == 0
    assert found["cached_views"] == 2 * 4096
    assert plan(capsys, "--batch", "64")["cached_views"] == 0
    assert plan(capsys, *fixed, "--gpus", "2")["cached_views"] == 0  # several workers do not cache
    assert plan(capsys, *fixed, "--epochs", "1")["cached_views"] == 0  # too short to pay


def test_the_help_names_the_gpus_of_the_table():
    assert sorted(re.findall(r"[a-z0-9_]+", _GPUS.replace(" or ", " "))) == sorted(HARDWARE)


@pytest.mark.parametrize("width", [45, 60, PIPE])
def test_no_name_and_no_number_is_cut_at_any_width_and_in_a_pipe(capsys, monkeypatch, width):
    set_width(monkeypatch, width)
    # Three strategies, one of which has a name of 21 letters.
    code, out, _ = run(capsys, "--gpus", "4", "--gpu", "l4", "--batch", "64")
    assert code == 0
    for name in ("parameters", "gathered", "sum, of 24 GiB", "bottleneck", "all: images/s"):
        assert name in out, name
    together = "".join(out.split())
    found = plan(capsys, "--gpus", "4", "--gpu", "l4", "--batch", "64")
    for strategy in found["strategies"]:
        assert strategy["memory"]["strategy"].replace(" ", "") in together
        assert f"{strategy['images_s']:,.0f}" in out
    assert "\u2026" not in out
    assert max(map(len, out.splitlines())) <= width


def test_the_table_is_written_in_plain_numbers(capsys, tmp_path):
    file = tmp_path / "plan.csv"
    found = plan(capsys, "--gpus", "2", "--batch", "64", "--table", str(file))
    lines = {line["per GPU"]: line for line in csv.DictReader(file.read_text().splitlines())}
    for way in found["strategies"]:
        name = way["memory"]["strategy"]
        assert int(lines["parameters"][name]) == way["memory"]["parameters"]
        assert float(lines["all: time"][name]) == pytest.approx(3600 * way["hours"])
    assert (lines["parameters"]["unit"], lines["all: time"]["unit"]) == ("bytes", "s")


def test_a_table_that_cannot_be_written_is_refused_before_the_work(capsys, tmp_path):
    code, out, err = run(capsys, "--table", str(tmp_path / "plan.xlsx"))
    assert (code, out) == (2, "")
    assert "--table" in err
    assert "must end in .csv, .tex or .md" in " ".join(err.split())
