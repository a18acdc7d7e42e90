"""Commands that `submit` does not send, because they would refuse their own input."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mimic_ray.store.comparison_store import ComparisonRecord, open_comparison
from tests.cli.fake_jobs import fake_server
from tests.cli.toy_images import run, save_checkpoint, save_images

INPUTS = ["--encoder", "tiny_resnet", "--teacher", "T"]
COMPARE = ["compare", *INPUTS, "--data", "CLEAN", "--out", "NEW"]
LABELS = ["--train", "TRAIN", "--test", "TEST"]
EVALUATE = ["evaluate", "suspect=T", "--encoder", "tiny_resnet", *LABELS]
PROFILE = ["profile", *INPUTS, "--data", "CLEAN"]
SCAN = ["scan", *INPUTS, "--data", "CLEAN"]
ATTACK = ["attack", "badencoder", *INPUTS, "--data", "TRAIN", "--trigger", "patch", "--out", "NEW"]
TUNE = ["tune", *INPUTS, "--data", "CLEAN", "--out", "NEW", "--set", "training.batch=8"]
TRIGGER = ["--trigger", "patch"]
RED = [*TRIGGER, "--target", "red"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The words of the command lines above that stand for files."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_text("x")
    (folder / "same").mkdir()
    few = save_images(folder / "few", 2, seed=0)
    pattern = folder / "wide.npz"
    np.savez(pattern, tm=np.ones((1, 8, 8, 3)), t=np.zeros((1, 8, 8, 3)))
    return {
        "T": save_checkpoint(folder / "t.safetensors"),
        "SAME": save_checkpoint(folder / "same" / "t.safetensors"),
        "CLEAN": save_images(folder / "clean", 24, seed=1),
        "TRAIN": save_images(folder / "train", 4, seed=2),
        "TEST": save_images(folder / "test", 3, seed=3),
        "COPY": shutil.copytree(folder / "train", folder / "copy"),
        "FEW": few,
        "UNLABELLED": shutil.copytree(few / "red", folder / "unlabelled"),
        "TAKEN": folder / "taken",
        "NEW": folder / "new",
        "WIDE": pattern,
        "COMPARED": compared(folder / "compared"),
    }


def compared(folder):
    """The folder of a comparison that has begun."""
    record = ComparisonRecord(
        command="",
        encoder="tiny_resnet",
        teacher="",
        teacher_sha256="",
        data="",
        data_fingerprint="",
        images=72,
        held_out=0.1,
        defences={},
        seeds=[0],
        stop_rule=True,
        curves=False,
    )
    open_comparison(folder).write_record(record)
    return folder


@pytest.fixture
def submitted(places, monkeypatch, capsys):
    """Submits a command line; its exit code, what it said, and how many jobs were sent."""
    jobs = fake_server(monkeypatch)

    def submit(words, *options):
        arguments = [*replaced(words, places)]
        code = run(["submit", "--pending-timeout", "0", *options, "--", *arguments])
        return code, capsys.readouterr().err, len(jobs.sent)

    return submit


def replaced(words, places):
    for word in words:
        name, equals, path = str(word).rpartition("=")
        yield f"{name}{equals}{places.get(path, path)}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([*COMPARE, "--defence", "fine_tunig"], "fine_tunig"),
        ([*COMPARE, "--defence", "nad", "--defence", "nad"], "is given twice"),
        ([*COMPARE, "--held-out", "1"], "--held-out 1 must be between 0 and 1"),
        ([*COMPARE, "--data", "FEW"], "the stop rule needs 32"),
        ([*COMPARE, *TRIGGER], "--trigger and --target must be given together"),
        ([*COMPARE, *RED], "--trigger needs --train and --test"),
        ([*COMPARE, *LABELS, *TRIGGER, "--target", "gold"], 'class "gold"'),
        ([*COMPARE, *LABELS, "--target", "red", "--trigger", "patch:side=99"], "side"),
        ([*COMPARE, *LABELS, "--target", "red", "--trigger", "WIDE"], "wide.npz"),
        ([*COMPARE, *LABELS, "--head", "mpl"], "mpl"),
        ([*COMPARE, "--train", "TRAIN", "--test", "COPY"], "are the same images"),
        ([*COMPARE, "--encoder", "tiny_resnt"], "tiny_resnt"),
        ([*COMPARE, "--out", "TAKEN"], "set --out to a new"),
        ([*COMPARE, "--out", "COMPARED"], "holds another comparison"),
        ([*COMPARE, "--out", "TAKEN", "--resume"], "is not a comparison"),
        (
            [*COMPARE, "--out", "COMPARED", "--resume", "--held-out", "0.2"],
            "--held-out was 0.1, is 0.2 now",
        ),
        ([*EVALUATE, "suspect=T"], "t.safetensors twice"),
        ([*EVALUATE, "reference=T", "--reference", "T"], 'The name "reference" is taken'),
        ([*EVALUATE, "--count-target"], "--count-target needs --trigger"),
        ([*EVALUATE, "--head", "mpl"], "mpl"),
        ([*EVALUATE, "--head", "T", "--head", "SAME"], "Two heads are named t.safetensors"),
        ([*EVALUATE, "--test", "UNLABELLED"], "has no labels"),
        ([*EVALUATE, "--test", "COPY"], "are the same images"),
        ([*EVALUATE, *TRIGGER, "--target", "gold"], 'class "gold"'),
        ([*EVALUATE, "--trigger", "ptch", "--target", "red"], "ptch"),
        ([*EVALUATE, "--trigger", "patch:sid=3", "--target", "red"], "sid"),
        ([*EVALUATE, "--out", "TAKEN"], "is not an empty folder"),
        ([*EVALUATE, "--into", "T"], "There is no run at"),
        ([*PROFILE, "--set", "training.stepz=1"], "training.stepz"),
        ([*PROFILE, "--set", 'mutual_information.taps=["blok*"]'], "blok*"),
        ([*PROFILE, "--data", "FEW"], "at least 8"),
        ([*PROFILE, "--out", "TAKEN"], "is not an empty folder"),
        ([*SCAN, "--reference-encoder", "tiny_resnet"], "has no effect without --reference"),
        ([*SCAN, "--data", "FEW"], "at least 64"),
        ([*SCAN, "--out", "TAKEN"], "is not an empty folder"),
        ([*SCAN, "--reference", "T", "--reference-encoder", "resnt50"], "resnt50"),
        ([*ATTACK, "--target", "red", "--stps", "3"], "--stps"),
        ([*ATTACK, "--target", "red", "--steps", "none"], "steps"),
        (ATTACK, "--target is missing"),
        ([*ATTACK, "--target", "gold"], 'class "gold"'),
        ([*ATTACK, "--target", "red", "--reference-data", "UNLABELLED"], "has no labels"),
        ([*ATTACK, "--target", "red", "--trigger", "patch:side=99"], "side"),
        ([*ATTACK, "--target", "red", "--out", "TAKEN"], "is not an empty folder"),
        ([*TUNE, "--oracle", *LABELS, *TRIGGER], "--oracle also needs --target"),
        ([*TUNE, "--oracle", "--train", "TRAIN", "--test", "COPY", *RED], "are the same images"),
    ],
)
def test_what_the_command_would_refuse_is_not_sent(submitted, words, expected):
    code, said, sent = submitted(words)
    assert (code in (1, 2), sent) == (True, 0), said
    error = said[said.rindex("error: ") :]
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        [*COMPARE, *LABELS, *RED],
        [*COMPARE, "--out", "COMPARED", "--resume"],
        [*EVALUATE, "clean=T", *RED, "--head", "knn", "--head", "own"],
        [*PROFILE, "--set", 'mutual_information.taps=["*"]'],
        [*SCAN, "--reference", "T"],
        [*ATTACK, "--target", "red", "--steps", "3"],
        [*TUNE, "--oracle", *LABELS, *RED],
    ],
    ids=lambda words: words[0],
)
def test_a_command_that_can_start_is_sent(submitted, words):
    code, said, sent = submitted(words)
    assert (code, sent) == (0, 1), said


AWAY = {
    "compare": [*COMPARE, *LABELS, *RED],
    "evaluate": [*EVALUATE, "--trigger", "/shared/p.npz", "--target", "red", "--into", "/shared/r"],
    "profile": PROFILE,
    "scan": SCAN,
    "attack": [*ATTACK, "--target", "red"],
}


@pytest.mark.parametrize("name", AWAY)
def test_paths_of_other_machines_are_left_to_the_job(submitted, name):
    files = ("T", "CLEAN", "TRAIN", "TEST", "NEW")
    away = [
        word.replace("suspect=T", "suspect=/shared/T") if "=" in word else word
        for word in AWAY[name]
    ]
    away = [f"/shared/{word}" if word in files else word for word in away]
    code, said, sent = submitted(away, "--shared", "/shared")
    assert (code, sent) == (0, 1), said


def test_names_are_checked_where_paths_cannot_be(submitted):
    images = ["--train", "/shared/a", "--test", "/shared/b"]
    words = [*COMPARE, "--teacher", "/shared/t", "--data", "/shared/d", "--out", "/shared/o"]
    code, said, sent = submitted(
        [*words, *images, "--trigger", "ptch", "--target", "0"], "--shared", "/shared"
    )
    assert (code, sent) == (2, 0)
    assert "Did you mean patch?" in said
