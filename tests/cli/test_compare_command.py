"""`mimic-ray compare` on toy images with toy defences, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mimic_ray.defences.defence_registry import DEFENCES
from tests.cli.toy_images import content_of, run, save_checkpoint, save_images
from tests.support import toy_defences

NOISE = f"{Path(toy_defences.__file__)}:noise"


@pytest.fixture(autouse=True)
def _toy_default(monkeypatch):
    monkeypatch.setitem(DEFENCES._members, "default", "tests.support.toy_defences:default")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    for seed, name in enumerate(("images", "train", "test")):
        save_images(folder / name, each=24, seed=seed)
    save_images(folder / "few", each=20, seed=9)
    save_checkpoint(folder / "suspect.safetensors", seed=0)
    return folder


@pytest.fixture
def arguments(toy, tmp_path):
    return [
        *("compare", "--encoder", "tiny_resnet", "--teacher", toy / "suspect.safetensors"),
        *("--data", toy / "images", "--out", tmp_path / "compared", "--threads", 1),
    ]


def labels(toy, *more):
    return ["--train", toy / "train", "--test", toy / "test", *more]


def test_the_table_names_every_defence_with_its_strength(arguments, capsys, tmp_path):
    assert run([*arguments, "--defence", NOISE, "--seeds", 1]) == 0
    text = "".join(capsys.readouterr().out.split())
    for words in ("default", NOISE, "scale=0.05", "noise was added.", str(tmp_path / "compared")):
        assert "".join(words.split()) in text


def test_json_is_the_only_output_on_stdout(arguments, capsys, toy):
    more = ["--seeds", 1, "--head", "knn", "--no-lasting", "--no-stop-rule", "--json"]
    assert run([*arguments, "--defence", NOISE, *labels(toy), *more]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["defence"] for row in found["rows"]] == ["suspect", "default", NOISE]
    assert found["rows"][2]["acc"]["total"] == 72
    assert found["rows"][2]["asr"] is None


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--defence", "fine_tunig"], 2, ["Did you mean fine_tuning", "There are ", "batch_norm"]),
        (["--defence", "fine_tuning:stepps=3"], 2, ["stepps", "steps"]),
        (["--defence", "nowhere.py:f"], 2, ["nowhere.py does not exist"]),
        (["--seeds", "0"], 2, ["--seeds"]),
        (["--held-out", "1.5"], 2, ["--held-out 1.5"]),
        (["--data", "FEW"], 1, ["has 60 images: the stop rule needs 32", "Give more images"]),
        (["--trigger", "patch", "--target", "red"], 2, ["--trigger needs --train and --test"]),
        (["--train", "TRAIN"], 2, ["--train and --test must be given together"]),
        (["LABELS", "--trigger", "patch"], 2, ["--trigger and --target must be given together"]),
        (["LABELS", "--trigger", "patch", "--target", "gren"], 2, ['"gren"', "green"]),
        (["LABELS", "--trigger", "pach", "--target", "red"], 2, ['"pach"', "patch"]),
        (["LABELS", "--head", "mpl"], 2, ['"mpl"', "mlp"]),
        (["LABELS", "--head", "no.pth"], 2, ["--head: no.pth does not exist"]),
        (["LABELS", "--head", "SUSPECT"], 2, ["has no linear classifier"]),
        (["LABELS", "--reference", "no.pth"], 2, ["no.pth does not exist"]),
        (["--train", "TEST", "--test", "TEST"], 2, ["--train and --test are the same images"]),
        (["--train", "TRAIN", "--test", "UNLABELLED"], 1, ["has no labels"]),
        (["--data", "FLAT"], 1, ["flat has a single colour"]),
        (["--resume"], 2, ["is not a comparison: it has no comparison.json"]),
        (["--teacher", "none.pth"], 2, ["none.pth does not exist"]),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(
    arguments, capsys, toy, case, tmp_path, more, code, words
):
    paths = {"FEW": toy / "few", "TRAIN": toy / "train", "TEST": toy / "test"}
    paths["SUSPECT"] = toy / "suspect.safetensors"
    paths["UNLABELLED"], paths["FLAT"] = case / "images", tmp_path / "flat"
    paths["FLAT"].mkdir()
    for number in range(80):
        Image.new("RGB", (32, 32), (3 * number, 99, 0)).save(tmp_path / "flat" / f"{number}.png")
    given = [paths.get(word, word) for word in more if word != "LABELS"]
    if "LABELS" in more:
        given += labels(toy)
    assert run([*arguments, *given]) == code
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1, sentence
    for word in words:
        assert word in sentence
    assert not (tmp_path / "compared").exists()


def test_a_folder_that_is_taken_is_refused_and_left_alone(arguments, capsys, tmp_path):
    (tmp_path / "compared").mkdir()
    (tmp_path / "compared" / "mine.txt").write_text("mine")
    before = content_of(tmp_path / "compared")
    assert run(arguments) == 2
    assert "--out" in capsys.readouterr().err
    assert content_of(tmp_path / "compared") == before
