"""A scan of real encoders on real images: one with a backdoor, and the public one it came from."""

from __future__ import annotations

import json

import pytest
import torch

import mimic_ray
from mimic_ray.encoders.encoder_registry import build
from tests.cli.toy_images import run
from tests.support.attacked_resnet20 import CLEAN, IMAGES, attack_resnet20
from tests.weight_files.crafted import shell, torch_bytes


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attack") / "attacked"
    return attack_resnet20(folder, steps=120, batch=24)


@pytest.mark.slow
def test_a_backdoored_encoder_is_suspect_and_the_page_shows_a_square(attacked, tmp_path, capsys):
    out = tmp_path / "scanned"
    arguments = ["--teacher", attacked, "--data", IMAGES, "--out", out, "--threads", 1, "--json"]
    code = run(["scan", "--encoder", "cifar_resnet20", *arguments])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["verdict"]) == (3, "suspect")
    assert found["score"] >= found["suspect_from"]
    first = found["openings"][0]
    assert first["family"] in ("patch", "free patch")
    assert first["gathering"] > 0.8
    assert first["sent"] > 0.9
    assert "Verdict: suspect" in (out / "scan.html").read_text()


def test_what_the_file_would_call_is_said(tmp_path, capsys, monkeypatch):
    state = build("tiny_resnet").net.state_dict()
    (tmp_path / "harm.pt").write_bytes(torch_bytes({"net": state, "x": shell(tmp_path / "y")}))
    # The scan itself would take seconds; the file is read before it.
    monkeypatch.setattr("mimic_ray.workflows.scan.scan_encoder", lambda *_, **__: 1 / 0)
    suspect = ["--encoder", "tiny_resnet", "--teacher", tmp_path / "harm.pt"]
    assert run(["scan", *suspect, "--data", IMAGES]) != 0
    assert "would call posix.system(" in capsys.readouterr().err


def test_the_suspect_encoder_is_no_reference_for_itself(tmp_path, capsys):
    state = build("tiny_resnet").net.state_dict()
    for name, content in {"a.pt": state, "b.pt": {"net": state}}.items():
        torch.save(content, tmp_path / name)
    suspect = ["--encoder", "tiny_resnet", "--teacher", tmp_path / "a.pt", "--data", IMAGES]
    assert run(["scan", *suspect, "--reference", tmp_path / "b.pt"]) == 2
    assert "b.pt has the weights of the suspect encoder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_public_encoder_is_not_suspect():
    found = mimic_ray.scan("cifar_resnet20", CLEAN, IMAGES, threads=1)
    assert found.verdict != "suspect"
    assert found.score < found.suspect_from
