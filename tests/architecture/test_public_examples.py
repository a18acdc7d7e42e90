"""The examples in the docstrings of the Python API run, on a tiny encoder and toy images."""

from __future__ import annotations

import os
import re
import signal
import textwrap
from pathlib import Path

import pytest

import mimic_ray
from mimic_ray.defences.defence_registry import DEFENCES
from tests.cli.toy_images import save_checkpoint, save_images

# What readers see -> what runs in seconds.
SMALLER = {
    '"resnet50"': '"tiny_resnet"',
    '"training.steps=300"': '"training.steps=2"',
    'target="truck"\n)': 'target="truck", settings={"steps": 2, "batch": 8})',
    '"purified", on_progress=on_progress': (
        '"purified", settings=["training.steps=2"], on_progress=on_progress, '
        "resources=mimic_ray.Resources(local=True)"
    ),
    'defences=["fine_tuning"]': 'defences=["fine_tuning:steps=2"]',
    "trials=2)": 'trials=2, held_out=0.5, settings=["training.steps=4", "training.batch=16"])',
}


def example(name: str) -> str:
    """The code below `Example:` in the docstring of a public name, or in that of the module."""
    text = mimic_ray.__doc__ if name == "mimic_ray" else getattr(mimic_ray, name).__doc__
    before = ":\n" if name == "mimic_ray" else "Example:\n"
    lines = text.partition(before)[2].splitlines()
    code = [line for line in lines if line.startswith("    ") or not line]
    end = next((n for n, line in enumerate(lines) if line and not line.startswith("    ")), None)
    dedented = textwrap.dedent("\n".join(code[:end]))
    for word, other in SMALLER.items():
        dedented = dedented.replace(word, other)
    # A run folder of its own: another example makes "purified".
    return dedented.replace('"purified"', '"first"') if name == "mimic_ray" else dedented


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    for seed, name in enumerate(("images", "train", "test")):
        save_images(folder / name, each=24, seed=seed)
        (folder / name / "red").rename(folder / name / "truck")
    save_checkpoint(folder / "suspect.pth")
    save_checkpoint(folder / "clean.pth")
    return folder


@pytest.fixture
def run_example(desk, monkeypatch):
    monkeypatch.chdir(desk)
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(desk / "cache"))

    def run(name: str) -> dict[str, object]:
        names: dict[str, object] = {"mimic_ray": mimic_ray}
        exec(compile(example(name), f"<example of {name}>", "exec"), names)
        return names

    return run


def surroundings():
    """What a call must leave as it was."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return dict(os.environ), handlers, Path.cwd()


def test_the_page_of_help_begins_with_an_example(run_example, capsys):
    names = run_example("mimic_ray")
    assert names["result"].export.name == "suspect.pth"
    assert names["encoder"].spec.name == "tiny_resnet"
    assert "tiny_resnet" in capsys.readouterr().out


def test_inspect_names_the_architecture(run_example, capsys):
    run_example("inspect")
    assert "tiny_resnet at state_dict" in capsys.readouterr().out


def test_purify_load_encoder_and_evaluate_work_on_one_run_and_change_nothing_else(
    run_example, capsys
):
    before = surroundings()
    result = run_example("purify")["result"]
    assert result.export.name == "suspect.pth"
    features = run_example("load_encoder")["features"]
    assert features.shape[0] == 8
    run_example("evaluate")
    rows = capsys.readouterr().out.splitlines()[-2:]
    assert [row.split()[0] for row in rows] == ["suspect", "purified"]
    assert surroundings() == before


def test_compare_gives_each_defence_a_row(run_example, capsys, monkeypatch):
    monkeypatch.setitem(DEFENCES._members, "default", "tests.support.toy_defences:default")
    found = run_example("compare")["found"]
    assert [row.defence for row in found.rows] == ["default", "fine_tuning:steps=2"]
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_scan_says_that_it_cannot_tell(run_example, capsys):
    found = run_example("scan")["found"]
    assert found.verdict == "cannot tell"
    assert "cannot tell" in capsys.readouterr().out


def test_profile_scores_each_layer(run_example, capsys):
    found = run_example("profile")["found"]
    assert len(capsys.readouterr().out.splitlines()) == len(found.taps)


def test_plan_gives_hours_and_cost(run_example):
    found = run_example("plan")["found"]
    assert found.cost == pytest.approx(2.5 * found.gpu_hours)


def test_attack_leaves_a_checkpoint(run_example):
    assert run_example("attack")["made"].checkpoint.name == "clean.pth"


def test_an_encoder_of_one_s_own_can_be_built(run_example):
    import torch

    encoder = run_example("Encoder")["build"]()
    features, maps = encoder(torch.rand(2, 3, 32, 32), taps=["conv"])
    assert (features.shape, maps[0].shape) == ((2, 64), (2, 16, 30, 30))


def test_a_spec_can_be_made(run_example):
    assert run_example("Spec")["spec"].taps == ("stem", "stage")


def test_any_error_can_be_caught_and_printed(run_example, capsys):
    assert "encoder" not in run_example("MimicError")
    assert "no_such_run" in capsys.readouterr().out


def test_a_recipe_has_the_given_settings_and_the_defaults(run_example, capsys):
    run_example("Recipe")
    assert capsys.readouterr().out == f"300 {mimic_ray.Recipe().training.batch}\n"


def test_an_oracle_and_resources_can_be_made(run_example):
    assert run_example("Oracle")["oracle"].target == "truck"
    assert run_example("Resources")["resources"].workers == 4


def test_progress_is_displayed_during_a_call(run_example, capsys):
    assert run_example("show_progress")["found"].taps
    assert "Profiling" in capsys.readouterr().err


def test_progress_is_called_in_a_loop(run_example, capsys):
    run_example("Progress")["on_progress"](mimic_ray.Progress("decode", 1, 2))
    assert capsys.readouterr().out == "decode 1 of 2\n"


def test_a_cost_is_passed_to_a_callback(run_example, capsys):
    cost = mimic_ray.Cost((), memory_bytes=1e9, machine_bytes=0, cores=1, probe_s=0.5)
    run_example("Cost")["on_cost"](cost)
    assert "Cost here" in capsys.readouterr().out


@pytest.mark.filterwarnings("default")  # those of Ray itself
@pytest.mark.ray
@pytest.mark.slow
def test_tune_gives_a_recipe_that_purify_takes(run_example, desk):
    assert run_example("tune")["found"].best.suffix == ".toml"
    assert (desk / "purified" / "README.md").exists()


def test_every_example_is_run_here():
    source = re.sub(r"\s+", " ", Path(__file__).read_text())
    for name in mimic_ray.__all__:
        if "Example:" in (getattr(mimic_ray, name).__doc__ or "") and name != "__version__":
            assert f'run_example("{name}")' in source
