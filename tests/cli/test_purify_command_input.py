"""`purify` for an encoder whose file does not determine all of it: asked, said, recorded, kept."""

from __future__ import annotations

import json

import pytest

from mimic_ray.encoders.encoder_registry import build
from mimic_ray.encoders.normalisation import STL10
from mimic_ray.execution.export import load_encoder
from tests.cli.toy_images import run
from tests.support.tiny_half import two_that_fit  # noqa: F401 - a fixture


@pytest.fixture
def purify(case, tmp_path):
    words = ["purify", "--teacher", case / "teacher.pth", "--data", case / "images"]
    words += ["--out", tmp_path / "run", "--local", "--threads", 1]
    return [*words, "--set", "training.steps=1", "--set", "training.batch=8"]


@pytest.mark.usefixtures("two_that_fit")
def test_without_a_name_nothing_is_chosen_among_encoders_that_differ(purify, tmp_path, capsys):
    assert run(purify) == 2
    error = capsys.readouterr().err
    assert "tiny_resnet (mean and std imagenet); tiny_half (mean and std half)" in error
    assert "with --encoder" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("two_that_fit")
def test_what_a_name_assumes_is_said_and_in_the_card(purify, tmp_path, capsys):
    assert run([*purify, "--encoder", "tiny_half"]) == 0
    sentence = (
        "do not determine mean and std: assumed tiny_half (mean and std half), not tiny_resnet"
    )
    assert capsys.readouterr().err.count(sentence) == 1
    assert sentence in json.loads((tmp_path / "run" / "run.json").read_text())["assumed"]
    assert sentence in (tmp_path / "run" / "README.md").read_text().replace("\\", "")


def test_stated_statistics_are_recorded_and_kept_by_the_export(purify, tmp_path, capsys):
    assert run([*purify, "--normalise", "stl10"]) == 0
    assert "is read as tiny_resnet:normalise=stl10" in capsys.readouterr().err
    folder = tmp_path / "run"
    record = json.loads((folder / "run.json").read_text())
    assert record["encoder"] == "tiny_resnet:normalise=stl10"
    assert (record["input"]["mean"], record["input"]["std"]) == ([*STL10.mean], [*STL10.std])
    assert "(stl10)" in (folder / "README.md").read_text()
    encoder = load_encoder(folder)
    assert (encoder.spec.mean, encoder.spec.std) == STL10
    assert encoder.mean.flatten().tolist() == pytest.approx(STL10.mean)
    assert encoder.spec.taps == build("tiny_resnet").spec.taps
    # Other statistics would be another run.
    assert run([*purify, "--encoder", "tiny_resnet", "--resume"]) == 2
    assert "the encoder was tiny_resnet:normalise=stl10, is tiny_resnet now" in (
        capsys.readouterr().err
    )
