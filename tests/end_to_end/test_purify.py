"""The main job through the real command, in process (`--local`)."""

import json
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

import mimic_ray as package
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.run_folder import RunFolder
from tests.cli.toy_images import run
from tests.end_to_end.processes import start, wait_for_step


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, mimic_ray, purify_arguments):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    done = mimic_ray(*purify_arguments(out, "--local"))
    assert done.returncode == 0, done.stderr
    return out, done


def student(run):
    return load_file(run / "student.safetensors")


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_a_run_folder_holds_what_the_design_says(unbroken):
    run, _ = unbroken
    expected = {
        *("README.md", "checkpoints", "encoder.json", "export", "metrics.parquet"),
        *("profile.parquet", "profile.png", "recipe.toml", "run.json", "student.safetensors"),
    }
    assert expected <= {path.name for path in run.iterdir()}
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert not [path for path in run.rglob("*") if "tmp" in path.name]


def test_the_command_says_where_the_result_is_and_promises_nothing(unbroken):
    run, done = unbroken
    assert str(run / "export" / "teacher.pth") in done.stdout
    assert "No recipe removes every kind" in done.stdout
    assert "Traceback" not in done.stderr


def test_every_step_has_its_row(unbroken):
    rows = read_metrics(RunFolder.open(unbroken[0]))
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert all(row["loss"] > 0 for row in rows)


def test_the_result_is_written_back_in_the_layout_that_came_in(case, unbroken):
    before = torch.load(case / "teacher.pth", weights_only=True)
    after = torch.load(unbroken[0] / "export" / "teacher.pth", weights_only=True)
    assert after["epoch"] == 3
    assert list(after["state_dict"]) == list(before["state_dict"])
    head = "module.fc.weight"
    assert torch.equal(after["state_dict"][head], before["state_dict"][head])
    changed = [
        k for k, v in before["state_dict"].items() if not torch.equal(v, after["state_dict"][k])
    ]
    assert len(changed) > 5


def test_python_gets_the_same_encoder(unbroken):
    encoder = package.load_encoder(unbroken[0])
    features = encoder(torch.rand(2, 3, 32, 32))
    assert features.shape == (2, encoder.spec.feature_width)
    exported = torch.load(unbroken[0] / "export" / "teacher.pth", weights_only=True)["state_dict"]
    for key, value in encoder.net.state_dict().items():
        assert torch.equal(value, exported[f"module.{key}"])


def test_the_same_seed_gives_the_same_weights_in_another_process_and_another_seed_does_not(
    unbroken, undisturbed
):
    assert same(student(undisturbed(12)), student(unbroken[0]))
    assert not same(student(undisturbed(12, "--seed", "1")), student(unbroken[0]))


def test_python_s_purify_does_what_the_command_does(tmp_path, case, unbroken):
    settings = ["training.steps=12", "training.batch=8", "training.precision=fp32"]
    result = package.purify(
        "tiny_resnet",
        case / "teacher.pth",
        case / "images",
        tmp_path / "run",
        settings=settings,
        threads=1,
        resources=package.Resources(local=True),
    )
    assert same(student(result.run), student(unbroken[0]))


# test_signalled.py sends each signal in each phase, to processes that start faster.
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_commits_and_the_resumed_run_ends_bit_identical(
    tmp_path, mimic_ray, purify_arguments, undisturbed, number
):
    stopped = tmp_path / "stopped"
    process = start(str(stopped), purify_arguments(stopped, "--local", steps=100))
    wait_for_step(stopped, 5, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "--resume" in stderr
    assert json.loads((stopped / "run.json").read_text())["status"] == "stopped"
    resumed = mimic_ray(*purify_arguments(stopped, "--local", "--resume", steps=100))
    assert resumed.returncode == 0, resumed.stderr
    assert same(student(stopped), student(undisturbed(100)))


# test_killed.py kills once, in a process that starts faster; test_ray.py, the command on Ray.
@pytest.mark.slow
def test_a_run_killed_50_times_ends_bit_identical_after_its_resumes(
    tmp_path, mimic_ray, purify_arguments, undisturbed
):
    kills = 50
    killed = tmp_path / "killed"
    arguments = ("--local", "--commit-every", "7")
    resume: tuple[str, ...] = ()
    for kill in range(kills):
        words = purify_arguments(killed, *arguments, *resume, steps=120)
        process = start(str(killed), words)
        wait_for_step(killed, (kill + 1) * 120 // (kills + 1), process)
        time.sleep(0.013 * (kill % 7))
        process.kill()
        process.communicate()
        resume = ("--resume",) if (killed / "run.json").exists() else ()
    last = mimic_ray(*purify_arguments(killed, *arguments, *resume, steps=120))
    assert last.returncode == 0, last.stderr
    assert same(student(killed), student(undisturbed(120)))
    assert [row["step"] for row in read_metrics(RunFolder.open(killed))] == list(range(1, 121))


@pytest.mark.parametrize("option", ["", "--all-copies", "--weights=state_dict"])
def test_a_second_copy_in_the_file_is_named_and_purified_if_asked(
    tmp_path, case, purify_arguments, capsys, option
):
    both = torch.load(case / "teacher.pth", weights_only=True)
    both["state_dict_ema"] = {key: value.clone() for key, value in both["state_dict"].items()}
    torch.save(both, tmp_path / "both.pth")
    arguments = purify_arguments(tmp_path / "run", "--local", steps=2)
    arguments += [option] if option else []
    all_copies = option == "--all-copies"
    arguments[arguments.index("--teacher") + 1] = str(tmp_path / "both.pth")
    assert run(arguments) == 0
    fate = "have the same weights" if all_copies else "are unchanged"
    assert f"Its other copies {fate} in the export" in capsys.readouterr().err
    exported = torch.load(tmp_path / "run" / "export" / "both.pth", weights_only=True)
    key = "module.conv1.weight"
    old, new, ema = (
        both["state_dict"][key],
        exported["state_dict"][key],
        exported["state_dict_ema"][key],
    )
    assert torch.equal(new, ema) == all_copies
    # Averaged copies come first: without an option, the other one keeps its weights.
    assert torch.equal(ema, old) == option.startswith("--weights")
    assert torch.equal(new, old) == (not option)
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())["encoder"]
    assert recorded.endswith(":weights=state_dict") == option.startswith("--weights")
    assert package.load_encoder(tmp_path / "run").spec.name == recorded
