"""`evaluate(into=RUN)` puts its table into the model card; `heads=["own"]` trains no head."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mimic_ray import Resources, evaluate, purify, scan
from mimic_ray.base.errors import MimicError, RunFolderError, UsageError
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.store.checksums import check_sums, write_sums
from mimic_ray.store.run_record import read_record
from tests.cli.toy_images import save_images

BUILDER = """
from mimic_ray.encoders.encoder_registry import build as built

def build():
    return built("tiny_resnet")
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Images of three colours and a suspect file with a head, which knows no colour."""
    folder = tmp_path_factory.mktemp("into")
    save_images(folder / "train", each=20, seed=0)
    save_images(folder / "test", each=10, seed=1)
    torch.manual_seed(0)
    encoder = build("tiny_resnet")
    head = {
        "fc.weight": torch.zeros(3, encoder.spec.feature_width),
        "fc.bias": torch.tensor([0.0, 0.0, 1.0]),
    }
    save_file({**encoder.net.state_dict(), **head}, folder / "suspect.safetensors")
    return folder


def purified(toy: Path, out: Path, encoder: str = "tiny_resnet", **options) -> Path:
    purify(
        encoder,
        toy / "suspect.safetensors",
        toy / "train",
        out,
        settings=["training.steps=2", "training.batch=8", "training.precision=fp32"],
        resources=Resources(local=True),
        threads=1,
        **options,
    )
    return out


def test_the_card_of_the_run_gets_the_table_and_its_checksums_hold(toy, tmp_path):
    run = purified(toy, tmp_path / "run")
    assert "Neither accuracy nor attack success" in (run / "README.md").read_text()
    found = evaluate(
        {"suspect": toy / "suspect.safetensors", "purified": run},
        toy / "train",
        toy / "test",
        encoder="tiny_resnet",
        heads=["own", "linear"],
        seeds=1,
        into=run,
        threads=1,
    )
    card = (run / "README.md").read_text()
    assert "| suspect, own |" in card
    assert "| purified, linear |" in card
    assert json.loads((run / "evaluation.json").read_text()) == json.loads(
        json.dumps(found.to_json())
    )
    check_sums(run)


def test_the_own_head_is_the_one_in_the_file_and_travels_with_the_export(toy, tmp_path):
    run = purified(toy, tmp_path / "run")
    exported = load_file(run / "export" / "suspect.safetensors")
    assert exported["fc.bias"].tolist() == [0, 0, 1]
    rows = evaluate(
        {"suspect": toy / "suspect.safetensors", "purified": run},
        toy / "train",
        toy / "test",
        encoder="tiny_resnet",
        heads=["own"],
        trigger="patch",
        target="red",
        threads=1,
    ).rows
    # Its bias sends every image to class 2 (red): a third of the images, and all triggered ones.
    assert [row.acc.share for row in rows] == [pytest.approx(1 / 3)] * 2
    assert [row.asr.share for row in rows] == [1.0, 1.0]
    assert [len(row.scores) for row in rows] == [1, 1]


def test_a_head_with_fewer_classes_than_the_images_is_refused(toy, tmp_path):
    tensors = load_file(toy / "suspect.safetensors")
    tensors |= {"fc.weight": tensors["fc.weight"][:2].clone(), "fc.bias": torch.zeros(2)}
    save_file(tensors, tmp_path / "two.safetensors")
    with pytest.raises(UsageError, match=r"The head fc has 2 classes and .*test has 3"):
        evaluate(
            {"two": tmp_path / "two.safetensors"},
            toy / "train",
            toy / "test",
            encoder="tiny_resnet",
            heads=["own"],
        )


def test_a_run_of_the_users_own_code_is_evaluated_where_the_code_is_named(
    toy, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(BUILDER)
    run = purified(toy, tmp_path / "run", encoder="nets.py:build")
    arguments = {"encoders": {"purified": run}, "train": toy / "train", "test": toy / "test"}
    with pytest.raises(MimicError, match="needs your own code"):
        evaluate(**arguments, heads=["own"], threads=1)
    assert evaluate(**arguments, encoder="nets.py:build", heads=["own"], threads=1).rows


def test_such_a_run_is_scanned_as_a_student_where_the_code_is_named(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(BUILDER)
    run = purified(toy, tmp_path / "run", encoder="nets.py:build")
    save_images(tmp_path / "clean", each=30, seed=2)
    asked = {"data": tmp_path / "clean", "student": run, "effort": "quick", "threads": 1}
    with pytest.raises(MimicError, match=r"then give it as encoder=.*nets\.py:build"):
        scan("tiny_resnet", toy / "suspect.safetensors", **asked)
    # A run whose description names other code than the user did.
    (tmp_path / "other.py").write_text(BUILDER)
    description = (run / "encoder.json").read_text()
    (run / "encoder.json").write_text(description.replace("nets.py", "other.py"))
    write_sums(run)
    with pytest.raises(MimicError, match=r"then give it as encoder=.*other\.py:build"):
        scan("nets.py:build", toy / "suspect.safetensors", **asked)
    (run / "encoder.json").write_text(description)
    write_sums(run)
    found = scan("nets.py:build", toy / "suspect.safetensors", **asked)
    assert all(opening.student is not None for opening in found.openings)


def test_a_run_that_is_not_evaluated_does_not_get_the_figures_of_others(toy, tmp_path):
    run, other = purified(toy, tmp_path / "run"), purified(toy, tmp_path / "other")
    card = (other / "README.md").read_text()
    with pytest.raises(UsageError, match="other is not among the evaluated encoders"):
        evaluate({"purified": run}, toy / "train", toy / "test", heads=["knn"], into=other)
    assert (other / "README.md").read_text() == card
    export = run / "export" / "suspect.safetensors"
    images = {"train": toy / "train", "test": toy / "test", "encoder": "tiny_resnet"}
    assert evaluate({"purified": export}, **images, heads=["knn"], into=run, threads=1).rows


@pytest.mark.parametrize("status", ["missing", "stopped"])
def test_only_a_finished_run_is_taken(toy, tmp_path, status):
    run = tmp_path / "run"
    if status == "stopped":
        purified(toy, run)
        read_record(run / "run.json").ended("stopped", step=1, train_s=0).write(run / "run.json")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunFolderError, match="There is no run" if status == "missing" else "stop"):
        evaluate(
            {"suspect": toy / "suspect.safetensors"},
            toy / "train",
            toy / "test",
            encoder="tiny_resnet",
            into=run,
        )
    assert sorted(tmp_path.rglob("*")) == before
