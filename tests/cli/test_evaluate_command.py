"""`mimic-ray evaluate` on toy images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import mimic_ray
from mimic_ray.evaluation.intervals import wilson
from mimic_ray.evaluation.results import Evaluation
from tests.cli.toy_images import run, save_checkpoint, save_images
from tests.support.tiny_half import two_that_fit  # noqa: F401 - a fixture
from tests.weight_files.crafted import shell, torch_bytes


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    save_images(folder / "train", each=60, seed=0)
    save_images(folder / "test", each=20, seed=1)
    save_checkpoint(folder / "clean.safetensors", seed=0)
    save_checkpoint(folder / "other.safetensors", seed=1)
    return folder


@pytest.fixture
def command(toy):
    """The command without its encoders."""
    return [
        "evaluate",
        "--encoder",
        "tiny_resnet",
        "--train",
        toy / "train",
        "--test",
        toy / "test",
    ]


TRIGGERED = ["--trigger", "patch", "--target", "red"]


def evaluated(capsys, arguments) -> Evaluation:
    assert run([*arguments, "--json"]) == 0
    return Evaluation.from_json(json.loads(capsys.readouterr().out))


def test_colours_are_classified_and_asr_excludes_the_target_class(toy, command, capsys):
    found = evaluated(
        capsys, [*command, f"toy={toy / 'clean.safetensors'}", *TRIGGERED, "--seeds", 2]
    )
    (row,) = found.rows
    assert row.encoder == "toy"
    assert row.acc.share > 0.9
    assert (row.acc.total, row.asr.total) == (60, 40)
    assert [score.seed for score in row.scores] == [0, 1]
    assert found.settings["target"] == "2 (red)"


def test_intervals_hold_the_spread_of_the_heads(toy, command, capsys):
    little = ["--head", "linear", "--head-epochs", 1, "--train-limit", 30]
    [row] = evaluated(capsys, [*command, toy / "clean.safetensors", *little]).rows
    shares = [score.acc.share for score in row.scores]
    assert max(shares) - min(shares) > 0.2  # hardly trained
    low, high = wilson(row.acc.successes, row.acc.total)
    assert row.acc.high - row.acc.low > 1.3 * (high - low)


def test_count_target_counts_every_image(toy, command, capsys):
    arguments = [*command, toy / "clean.safetensors", *TRIGGERED, "--count-target", "--seeds", 1]
    assert evaluated(capsys, arguments).rows[0].asr.total == 60


def test_the_reference_is_the_first_row_and_gives_the_floor_of_the_others(toy, command, capsys):
    encoders = [f"a={toy / 'other.safetensors'}", f"b={toy / 'clean.safetensors'}"]
    arguments = [
        *command,
        *encoders,
        *TRIGGERED,
        "--reference",
        toy / "clean.safetensors",
        "--seeds",
        1,
    ]
    reference, a, b = evaluated(capsys, arguments).rows
    assert reference.encoder == "reference"
    assert reference.asr is None
    # b is the reference under another name, so its ASR is the floor.
    assert a.asr_b == b.asr_b == reference.asr_b == b.asr
    assert b.acc == reference.acc


def test_encoders_of_one_name_are_one_row_with_heads_within_each(toy, command, capsys):
    clean, other = toy / "clean.safetensors", toy / "other.safetensors"
    little = ["--head", "linear", "--head-epochs", 1, "--train-limit", 30, "--seeds", 2]
    arguments = [*command, *TRIGGERED, *little, "--reference", clean]
    found = evaluated(capsys, [*arguments, f"p={clean}", f"x={other}", f"p={other}"])
    alone = evaluated(capsys, [*arguments, f"p={clean}"])
    reference, both, x = found.rows
    assert [row.encoder for row in found.rows] == ["reference", "p", "x"]
    assert [(score.encoder, score.seed) for score in both.scores] == [
        (0, 0), (0, 1), (1, 0), (1, 1)
    ]  # fmt: skip
    of_first, of_second = both.scores[:2], both.scores[2:]
    assert of_first == alone.rows[1].scores
    assert [score.asr for score in of_second] == [score.asr for score in x.scores]
    assert both.asr.share == pytest.approx((reference.asr_b.share + x.asr.share) / 2)
    assert both.asr_b == reference.asr_b
    assert found.settings["encoder 1 of p"] == str(clean)
    assert found.settings["encoder 2 of p"] == str(other)


def test_the_table_says_how_many_encoders_a_row_has(toy, command, tmp_path, capsys):
    encoders = [f"p={toy / 'clean.safetensors'}", f"p={toy / 'other.safetensors'}"]
    out = tmp_path / "found"
    assert run([*command, *encoders, "--head", "knn", "--out", out]) == 0
    shown = capsys.readouterr().out
    assert "p (2 encoders)" in shown
    assert "over encoders and test images" in " ".join(shown.split())
    for ending in ("md", "tex", "svg"):
        assert "p (2 encoders)" in (out / f"evaluation.{ending}").read_text()
    [line] = csv.DictReader((out / "evaluation.csv").read_text().splitlines())
    assert (line["encoders"], line["heads"]) == ("2", "1")


def test_every_head_gets_its_own_row(toy, command, capsys):
    heads = [word for name in ("linear", "knn", "mlp") for word in ("--head", name)]
    found = evaluated(capsys, [*command, toy / "clean.safetensors", *heads, "--seeds", 2])
    assert [(row.head, len(row.scores)) for row in found.rows] == [
        ("linear", 2),
        ("knn", 1),  # uses no random numbers
        ("mlp", 2),
    ]
    assert "Adam 0.005, batch 250, 40 epochs" in found.settings["head linear"]


def test_out_contains_the_numbers_and_the_plot(toy, command, tmp_path, capsys):
    out = tmp_path / "found"
    assert run([*command, toy / "clean.safetensors", "--seeds", 1, "--out", out]) == 0
    shown = capsys.readouterr().out
    kept = Evaluation.from_json(json.loads((out / "evaluation.json").read_text()))
    assert f"{100 * kept.rows[0].acc.share:.1f} %" in shown
    assert (out / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "evaluation.pdf").read_bytes().startswith(b"%PDF")
    endings = ("json", "png", "pdf", "svg", "csv", "tex", "md")
    assert {path.name for path in out.iterdir()} == {f"evaluation.{end}" for end in endings}
    [line] = csv.DictReader((out / "evaluation.csv").read_text().splitlines())
    assert float(line["acc"]) == kept.rows[0].acc.share


def test_limits_keep_every_class(toy, command, capsys):
    limits = ["--train-limit", 30, "--test-limit", 15, "--seeds", 1, "--head", "knn"]
    found = evaluated(capsys, [*command, toy / "clean.safetensors", *limits])
    assert found.rows[0].acc.total == 15
    assert found.settings["train images"] == "30"
    assert found.rows[0].acc.share > 0.9


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["{clean}", "--trigger", "patch"], 2, "--trigger and --target must be given together"),
        (["{clean}", "--count-target"], 2, "--count-target needs --trigger"),
        (["{clean}", "{clean}"], 2, 'Two encoders are named "clean.safetensors" after a file'),
        (["a={clean}", "b={other}", "a={clean}"], 2, '"a" has {clean} twice'),
        (["reference={clean}", "--reference", "{other}"], 2, "rename the encoder"),
        (["{clean}", "--head", "mpl"], 2, "Did you mean mlp"),
        (["{clean}", "--trigger", "patch", "--target", "rde"], 2, "Did you mean red"),
        (["{folder}"], 1, "holds 2 checkpoints"),
        (["{folder}/missing.pth"], 2, "missing.pth"),
    ],
)
def test_an_error_is_one_sentence(arguments, code, sentence, toy, command, capsys):
    words = {"clean": toy / "clean.safetensors", "other": toy / "other.safetensors", "folder": toy}
    assert run([*command, *(argument.format(**words) for argument in arguments)]) == code
    captured = capsys.readouterr()
    # A terminal may break a long path.
    assert "".join(sentence.format(**words).split()) in "".join(captured.err.split())
    assert captured.out == ""


def test_the_architecture_of_a_checkpoint_is_found_and_said(toy, capsys):
    images = ["--train", toy / "train", "--test", toy / "test", "--seeds", 1]
    assert run(["evaluate", toy / "clean.safetensors", *images]) == 0
    assert "clean.safetensors is read as tiny_resnet" in capsys.readouterr().err


@pytest.mark.usefixtures("two_that_fit")
def test_a_checkpoint_that_fits_encoders_that_differ_is_refused_without_a_name(toy, capsys):
    images = ["--train", toy / "train", "--test", toy / "test"]
    assert run(["evaluate", toy / "clean.safetensors", *images]) == 2
    assert "Say which one it is with --encoder" in capsys.readouterr().err


def test_an_out_folder_that_is_not_empty_is_refused_first(toy, command, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep me")
    assert run([*command, toy / "clean.safetensors", "--out", tmp_path]) == 2
    assert "is not an empty folder" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_classes_without_training_images_are_refused(toy, tmp_path, capsys):
    save_images(tmp_path / "test", each=2, seed=0)
    (tmp_path / "test" / "blue").rename(tmp_path / "test" / "yellow")
    arguments = ["evaluate", "--encoder", "tiny_resnet", toy / "clean.safetensors"]
    arguments += ["--train", toy / "train", "--test", tmp_path / "test"]
    assert run(arguments) == 1
    assert "have different class names" in " ".join(capsys.readouterr().err.split())


def test_test_images_that_the_head_has_seen_are_refused_before_an_encoder_is_read(
    toy, tmp_path, capsys
):
    (tmp_path / "broken.pth").write_text("no weights")
    arguments = ["evaluate", "--encoder", "tiny_resnet", tmp_path / "broken.pth"]
    assert run([*arguments, "--train", toy / "test", "--test", toy / "test"]) == 2
    assert "--train and --test are the same images" in " ".join(capsys.readouterr().err.split())


def test_a_test_set_of_only_the_target_class_is_refused(toy, tmp_path, capsys):
    np.savez(tmp_path / "test.npz", x=np.zeros((3, 32, 32, 3), np.uint8), y=np.full(3, 2))
    arguments = ["evaluate", "--encoder", "tiny_resnet", toy / "clean.safetensors"]
    arguments += ["--trigger", "patch", "--target", "2"]
    assert run([*arguments, "--train", toy / "train", "--test", tmp_path / "test.npz"]) == 1
    assert "ASR cannot be measured" in " ".join(capsys.readouterr().err.split())


def test_the_architecture_of_a_run_folder_is_known(toy, tmp_path, capsys):
    out = tmp_path / "run"
    purify = ["purify", "--encoder", "tiny_resnet", "--teacher", toy / "clean.safetensors"]
    purify += ["--data", toy / "train", "--out", out, "--local", "--threads", 1]
    assert run([*purify, "--set", "training.steps=2", "--set", "training.batch=8"]) == 0
    capsys.readouterr()
    arguments = ["evaluate", f"purified={out}", "--train", toy / "train", "--test", toy / "test"]
    found = evaluated(capsys, [*arguments, "--head", "knn"])
    assert found.rows[0].encoder == "purified"
    assert found.rows[0].acc.share > 0.9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"encoders": {}}, "encoders={} has no encoder"),
        ({"encoders": {"a": "b.pth"}, "heads": []}, r"heads=\[\] has no kind of head"),
        ({"encoders": {"a": []}}, '"a" has no encoder'),
        ({"encoders": {"a": ["b.pth", Path("./b.pth")]}}, r'"a" has b\.pth twice'),
    ],
)
def test_nothing_to_evaluate_is_refused_in_python(arguments, words):
    with pytest.raises(mimic_ray.UsageError, match=words):
        mimic_ray.evaluate(**arguments, train="train", test="test")


def test_an_encoder_that_answers_nothing_is_measured_with_a_note(toy, command, capsys, tmp_path):
    state = load_file(toy / "clean.safetensors")
    constant = {key: 0 * value for key, value in state.items()}
    save_file(constant, tmp_path / "constant.safetensors")
    encoders = [f"a={toy / 'clean.safetensors'}", f"b={tmp_path / 'constant.safetensors'}"]
    assert run([*command, *encoders, "--head", "knn", "--json"]) == 0
    printed = capsys.readouterr()
    assert "b gives all images the same feature" in " ".join(printed.err.split())
    found = Evaluation.from_json(json.loads(printed.out))
    assert [key for key in found.settings if key.startswith("features of")] == ["features of b"]


def test_what_a_file_would_call_is_said_and_kept(toy, command, capsys, tmp_path):
    state = load_file(toy / "clean.safetensors")
    (tmp_path / "harm.pt").write_bytes(torch_bytes({"net": state, "x": shell(tmp_path / "y")}))
    assert run([*command, f"a={tmp_path / 'harm.pt'}", "--seeds", 1, "--json"]) == 0
    printed = capsys.readouterr()
    assert "would call posix.system(" in printed.err
    assert "would call posix.system(" in json.loads(printed.out)["settings"]["file of a"]
