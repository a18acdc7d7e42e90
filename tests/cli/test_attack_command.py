"""`mimic-ray attack` on toy images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mimic_ray.weight_files.load import load_checkpoint
from tests.cli.toy_images import run, save_checkpoint, save_images


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    save_images(folder / "shadow", each=30, seed=0)
    save_checkpoint(folder / "clean.safetensors")
    return folder


@pytest.fixture
def command(toy):
    """The command without its --out."""
    words = [
        "attack",
        "badencoder",
        "--encoder",
        "tiny_resnet",
        "--teacher",
        toy / "clean.safetensors",
    ]
    words += ["--data", toy / "shadow", "--trigger", "patch", "--steps", 3, "--batch", 16]
    return [*words, "--precision", "fp32"]


def save_references(path, label, count=1):
    images = np.full((count, 32, 32, 3), 128, np.uint8)
    np.savez(path, x=images, y=np.full(count, label))
    return path


def test_the_attacked_file_has_the_layout_of_the_clean_one(toy, command, tmp_path, capsys):
    theirs, out = save_checkpoint(tmp_path / "theirs.pth"), tmp_path / "attacked"
    by_file = [theirs if word == toy / "clean.safetensors" else word for word in command]
    assert run([*by_file, "--target", "red", "--out", out]) == 0
    assert "for research only" in capsys.readouterr().out
    before = torch.load(theirs, weights_only=True)
    after = torch.load(out / "theirs.pth", weights_only=True)
    assert after["state_dict"].keys() == before["state_dict"].keys()
    assert after["best_prec1"] == 12.5
    attacked = load_checkpoint(out / "theirs.pth", "tiny_resnet").encoder.net
    clean = load_checkpoint(theirs, "tiny_resnet").encoder.net
    assert not torch.equal(attacked.conv1.weight, clean.conv1.weight)
    assert torch.equal(attacked.bn1.running_mean, clean.bn1.running_mean)


def test_attack_json_records_the_attack(command, tmp_path):
    out = tmp_path / "attacked"
    assert run([*command, "--target", "2", "--references", 2, "--seed", 5, "--out", out]) == 0
    record = json.loads((out / "attack.json").read_text())
    assert record["target"] == {"index": 2, "name": "red"}
    assert len(record["references"]["keys"]) == 2
    assert all(key.startswith("red/") for key in record["references"]["keys"])
    assert record["settings"]["seed"] == 5
    assert record["losses"]["step"] == [1, 3]
    assert record["losses"]["utility"][0] == pytest.approx(-1.0, abs=1e-4)
    assert {path.name for path in out.iterdir()} == {
        "attack.json",
        "clean.safetensors",
        "images.png",
        "trigger.npz",
    }


def test_the_written_trigger_file_is_the_trigger(command, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert run([*command, "--target", "red", "--out", first]) == 0
    by_file = [first / "trigger.npz" if word == "patch" else word for word in command]
    assert run([*by_file, "--target", "red", "--out", second]) == 0
    states = [load_file(out / "clean.safetensors") for out in (first, second)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_a_reference_file_determines_the_target_class(command, tmp_path):
    references = save_references(tmp_path / "priority.npz", label=12)
    out = tmp_path / "attacked"
    assert run([*command, "--references", references, "--out", out]) == 0
    record = json.loads((out / "attack.json").read_text())
    assert record["target"]["index"] == 12


def test_references_may_come_from_other_images(command, tmp_path):
    save_images(tmp_path / "signs", each=4, seed=3)
    (tmp_path / "signs" / "red").rename(tmp_path / "signs" / "stop")
    out = tmp_path / "attacked"
    words = ["--reference-data", tmp_path / "signs", "--target", "stop", "--out", out]
    assert run([*command, *words]) == 0
    record = json.loads((out / "attack.json").read_text())
    assert record["references"]["location"] == str(tmp_path / "signs")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "--target"),
        (["--target", "rde"], 2, "Did you mean red"),
        (["--target", "red", "--references", "0"], 2, "must be 1 or more"),
        (["--target", "red", "--references", "--5"], 2, "--references: --5 does not exist"),
        (["--target", "red", "--references", "31"], 1, "30 images to choose 31"),
        (["--references", "{npz}", "--target", "3"], 2, "references of class 12"),
        (["--references", "{npz}", "--reference-data", "{data}"], 2, "remove one of them"),
        (["--target", "red", "--limit", "30", "--references", "11"], 1, "10 images to choose 11"),
        (
            ["--target", "red", "--limit", "10", "--references", "1"],
            1,
            "fewer than one batch of 16",
        ),
        (["--target", "red", "--rate", "1e30", "--schedule", "constant"], 1, "lower --rate"),
    ],
)
def test_an_error_leaves_no_files(arguments, code, sentence, toy, command, tmp_path, capsys):
    npz = save_references(tmp_path / "priority.npz", label=12)
    words = [argument.format(npz=npz, data=toy / "shadow") for argument in arguments]
    assert run([*command, *words, "--out", tmp_path / "attacked"]) == code
    captured = capsys.readouterr()
    assert sentence in " ".join(captured.err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["priority.npz"]


def test_an_out_folder_that_is_not_empty_is_refused(command, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep me")
    assert run([*command, "--target", "red", "--out", tmp_path]) == 2
    assert "is not an empty folder" in " ".join(capsys.readouterr().err.split())


def test_the_help_states_the_purpose(capsys):
    assert run(["attack", "--help"]) == 0
    assert "For research" in capsys.readouterr().out


def test_too_few_references_are_refused_before_images_are_decoded(
    command, tmp_path, capsys, monkeypatch
):
    from mimic_ray.attacks.poisoning import poisoning

    monkeypatch.setattr(poisoning, "least_references", 0.9)
    words = ["poisoning" if word == "badencoder" else word for word in command]
    assert run([*words, "--target", "red", "--out", tmp_path / "attacked"]) == 1
    said = capsys.readouterr().err
    assert "3 references beside" in said
    assert "give --references of 1 % of the images or more" in said
    assert "Decoding" not in said
    npz = save_references(tmp_path / "references.npz", 1)
    assert run([*words, "--references", npz, "--out", tmp_path / "attacked"]) == 1
    assert "1 reference beside" in capsys.readouterr().err


def test_a_wrong_target_is_refused_before_images_are_decoded(command, tmp_path, capsys):
    assert run([*command, "--target", "rad", "--out", tmp_path / "attacked"]) == 2
    said = capsys.readouterr().err
    assert "Did you mean red?" in said
    assert "Decoding" not in said
