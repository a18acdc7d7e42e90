"""`mimic-ray scan` on toy images: verdicts, exit codes, files, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mimic_ray.base.errors import VERDICT_EXIT_CODES
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.scanning.scan_result import Verdict
from tests.cli.toy_images import run, save_checkpoint, save_images


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    save_images(folder / "images", each=24, seed=0)
    save_images(folder / "few", each=5, seed=0)
    save_checkpoint(folder / "suspect.safetensors", seed=0)
    save_checkpoint(folder / "other.safetensors", seed=1)
    return folder


@pytest.fixture
def command(toy):
    return [
        *("scan", "--encoder", "tiny_resnet", "--teacher", toy / "suspect.safetensors"),
        *("--data", toy / "images", "--effort", "quick", "--threads", 1),
    ]


def test_every_verdict_has_its_exit_code():
    assert {Verdict(verdict): code for verdict, code in VERDICT_EXIT_CODES.items()} == {
        Verdict.NO_EVIDENCE: 0,
        Verdict.SUSPECT: 3,
        Verdict.CANNOT_TELL: 4,
    }


def test_a_random_encoder_gets_no_verdict_and_the_files_say_why(command, tmp_path, capsys):
    assert run([*command, "--out", tmp_path / "scanned", "--json"]) == 4
    shown = json.loads(capsys.readouterr().out)
    stored = json.loads((tmp_path / "scanned" / "scan.json").read_text())
    assert shown == stored
    assert shown["verdict"] == "cannot tell"
    assert shown["score"] is None
    assert "No limits were set for a quick scan" in shown["reason"]
    names = {path.name for path in (tmp_path / "scanned").iterdir()}
    endings = ("json", "html", "png", "pdf", "svg", "csv", "tex", "md")
    assert names == {f"scan.{ending}" for ending in endings}


def test_limits_do_not_hold_for_another_architecture(command, capsys):
    full = [word for word in command if word not in ("--effort", "quick")]
    assert run([*full, "--json"]) == 4
    assert "do not hold for tiny_resnet" in json.loads(capsys.readouterr().out)["reason"]


def test_the_terminal_says_the_verdict_in_plain_words(command, capsys):
    assert run(command) == 4
    shown = capsys.readouterr().out
    assert shown.startswith("Verdict: cannot tell.")
    assert "No scan proves" in " ".join(shown.split())
    assert "gathering" in shown


# tests/scanning shows it for each part.
@pytest.mark.slow
def test_the_same_seed_gives_the_same_result(command, capsys):
    found = []
    for _ in range(2):
        run([*command, "--seed", 5, "--json"])
        content = json.loads(capsys.readouterr().out)
        found.append({**content, "seconds": 0})
    assert found[0] == found[1]


def test_an_encoder_has_no_score_beyond_one_that_hardly_differs(command, toy, tmp_path, capsys):
    weights = load_file(toy / "suspect.safetensors")
    near = {k: v * 1.000001 if v.is_floating_point() else v for k, v in weights.items()}
    save_file(near, tmp_path / "near.safetensors")
    full = [word for word in command if word not in ("--effort", "quick")]
    assert run([*full, "--reference", tmp_path / "near.safetensors", "--json"]) == 4
    shown = json.loads(capsys.readouterr().out)
    assert shown["score"] < 0.1
    for row in shown["openings"]:
        assert row["gathering"] == pytest.approx(row["reference"], abs=0.02)


def test_a_student_is_shown_and_has_no_part_in_the_verdict(command, toy, capsys):
    assert run([*command, "--student", toy / "other.safetensors", "--json"]) == 4
    shown = json.loads(capsys.readouterr().out)
    assert all(row["student"] is not None for row in shown["openings"])
    assert shown["score"] is None


def test_bad_input_is_refused_in_a_sentence_before_work(command, toy, tmp_path, capsys):
    teacher = command.index("--teacher") + 1
    data = command.index("--data") + 1
    constant = {k: torch.zeros_like(v) for k, v in build("tiny_resnet").net.state_dict().items()}
    torch.save(constant, tmp_path / "constant.pth")

    def refused(code, words, at=None, value=None, more=()):
        arguments = [*command, *more, "--out", tmp_path / "never"]
        if at:
            arguments[at] = value
        assert run(arguments) == code
        error = capsys.readouterr().err
        assert words in error, error
        assert not (tmp_path / "never").exists()

    refused(1, "at least 64 clean images", data, toy / "few")
    refused(2, "does not exist", data, toy / "absent")
    refused(2, "does not exist", teacher, toy / "absent.pth")
    refused(1, "gives all images the same feature", teacher, tmp_path / "constant.pth")
    refused(2, "--reference-encoder has no effect", more=["--reference-encoder", "tiny_vit"])
    refused(2, "effort", more=["--effort", "enormous"])
    refused(
        2,
        "both must see the same images",
        more=["--reference", toy / "other.safetensors", "--reference-encoder", "tiny_resnet@48"],
    )
