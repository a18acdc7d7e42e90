"""Invalid searches: refused before Ray starts, without leaving files."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.cli.toy_images import save_images


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return save_images(tmp_path_factory.mktemp("pictures"), each=60, seed=0)


@pytest.fixture
def tune_refused(refused, case, pictures, tmp_path):
    def check(options, *words, code=None):
        out = tmp_path / "study"
        arguments = ["tune", "--encoder", "tiny_resnet", "--teacher", case / "teacher.pth"]
        arguments += ["--data", pictures, "--out", out, "--set", "training.batch=8", *options]
        refused([str(word) for word in arguments], *words, code=code)
        assert not out.exists()

    return check


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--search", "loss.atention=uniform(0,1)"], ['"loss.atention"', "loss.attention"]),
        (["--search", "loss.attention"], ["Invalid --search", "KEY=VALUES"]),
        (["--search", "loss.attention=uniform(1,1)"], ["loss.attention", "empty"]),
        (["--search", "loss.attention=loguniform(0,1)"], ["zero_or_loguniform"]),
        (["--search", "loss.attention=normal(0,1)"], ["is not one of uniform"]),
        (["--search", "loss.attention=choice()"], ["no value"]),
        (["--search", "training.batch=int(1,8)"], ["training.batch", "must be 2 or more"]),
        (["--search", "student.start=choice(teacher,unknown)"], ["student.start"]),
        (["--only-these"], ["nothing to search"]),
        (["--set", "training.stepps=3"], ["training.steps"]),
        (["--set", 'mutual_information.taps=["layer9"]'], ['"layer9"', "layer1, layer2, layer3"]),
        (["--failed-share", "2"], ["--failed-share 2"]),
        (["--track", "mlflo"], ['"mlflo"', "mlflow"]),
        (["--trigger", "patch"], ["--trigger needs --oracle"]),
        (["--oracle", "--trigger", "patch"], ["--oracle also needs --train, --test, --target"]),
        (
            ["--concurrent-trials", "1000"],
            ["--concurrent-trials 1000 does not fit", "at most --concurrent-trials"],
        ),
        (["--workers", "1000"], ["No trial fits: a trial is 1,000 workers of 1 CPU, "]),
        (["--resume"], ["is not a study folder"]),
        (["--data", "nowhere"], ["nowhere does not exist"]),
        (["--teacher", "nothing.pth"], ["nothing.pth"]),
        (["--encoder", "tiny_resnett"], ["tiny_resnet"]),
    ],
)
def test_an_invalid_search_is_refused_with_its_key(tune_refused, options, words):
    tune_refused(options, *words)


def test_test_images_that_the_head_has_seen_are_refused(tune_refused, pictures, tmp_path):
    (tmp_path / "broken.pth").write_text("no weights")
    oracle = ["--oracle", "--train", pictures, "--test", pictures, "--trigger", "patch"]
    words = ["--train and --test are the same images"]
    tune_refused([*oracle, "--target", "red", "--teacher", tmp_path / "broken.pth"], *words)


def test_images_of_one_colour_each_are_refused(tune_refused, tmp_path):
    (tmp_path / "flat").mkdir()
    for number in range(12):
        Image.new("RGB", (32, 32), (20 * number, 99, 0)).save(tmp_path / "flat" / f"{number}.png")
    tune_refused(["--data", tmp_path / "flat"], "flat has a single colour", code=1)


def test_a_missing_gpu_is_refused_with_the_numbers(tune_refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    words = ["1 worker of 1 CPU + 1 GPU", "+ 0 GPU on 1 node", "--gpus-per-worker"]
    tune_refused(["--gpus-per-worker", "1"], *words)


def test_a_tracker_that_is_not_installed_is_named(tune_refused, monkeypatch):
    monkeypatch.setattr("mimic_ray.report.trackers.find_spec", lambda name: None)
    tune_refused(["--track", "mlflow"], "needs the package mlflow", "TensorBoard")


def test_a_search_table_is_checked_like_an_option(tune_refused, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[search]\n"training.learning_rat" = "uniform(0, 1)"\n')
    tune_refused(["--recipe", recipe], "training.learning_rate")
    recipe.write_text('[search.loss]\nattention = "uniform(1, 0)"\n')
    tune_refused(["--recipe", recipe], "loss.attention", "empty")


def test_a_folder_with_other_files_is_not_changed(refused, case, pictures, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    arguments = ["tune", "--encoder", "tiny_resnet", "--teacher", str(case / "teacher.pth")]
    refused([*arguments, "--data", str(pictures), "--out", str(tmp_path)], "thesis.tex", code=2)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_bucket_that_does_not_exist_is_named_before_any_work(refused, case, pictures, bucket):
    missing = f"{bucket}-missing"
    arguments = ["tune", "--encoder", "tiny_resnet", "--teacher", str(case / "teacher.pth")]
    refused([*arguments, "--data", str(pictures), "--out", f"{missing}/study"], missing, code=2)
