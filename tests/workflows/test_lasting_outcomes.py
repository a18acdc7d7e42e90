"""`evaluate(lasting=NAME)` measures encoders after further training too."""

from __future__ import annotations

import pytest
from safetensors.torch import save_file

from mimic_ray import evaluate
from mimic_ray.base import devices
from mimic_ray.base.errors import DataError, DivergedError, UsageError
from mimic_ray.base.progress import Progress
from mimic_ray.data.labelled import open_labelled
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.results import Evaluation
from mimic_ray.evaluation.revival import distilled_again
from mimic_ray.report.tables import evaluation_table
from mimic_ray.weight_files.load import load_checkpoint
from mimic_ray.workflows import lasting_outcomes
from mimic_ray.workflows.evaluated_encoders import EvaluatedEncoder
from tests.cli.toy_images import save_checkpoint, save_images

LASTING = ("acc_distilled", "asr_distilled", "acc_tuned", "asr_tuned")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lasting")
    save_images(folder / "train", each=20, seed=0)
    save_images(folder / "test", each=10, seed=1)
    for seed, name in enumerate(("suspect", "purified", "clean")):
        save_checkpoint(folder / f"{name}.safetensors", seed=seed)
    return folder


def evaluated(toy, *names, encoders=None, **options):
    usual = {"heads": ("linear",), "seeds": 1, "head_epochs": 2, "threads": 1}
    usual |= {"encoder": "tiny_resnet", "trigger": "patch", "target": "red"}
    paths = encoders or {name: toy / f"{name}.safetensors" for name in names}
    return evaluate(paths, toy / "train", toy / "test", **(usual | options))


@pytest.fixture(scope="module")
def found(toy):
    reference = toy / "clean.safetensors"
    return evaluated(toy, "suspect", "purified", lasting="suspect", reference=reference)


def test_what_says_nothing_about_an_encoder_is_not_measured(found):
    """The suspect is not distilled from itself, and the reference has no backdoor."""
    measured = [[bool(getattr(row, name)) for name in LASTING] for row in found.rows]
    assert [row.encoder for row in found.rows] == ["reference", "suspect", "purified"]
    assert measured == [[False] * 4, [False, False, True, True], [True] * 4]
    assert "the encoder suspect" in found.settings["after distillation"]
    assert "1 % of the training images" in found.settings["after fine-tuning"]


def test_distilled_is_the_evaluation_of_the_encoder_that_is_distilled_again(toy, found):
    suspect, purified = (
        load_checkpoint(toy / f"{name}.safetensors", "tiny_resnet").encoder
        for name in ("suspect", "purified")
    )
    images = open_labelled(toy / "train", suspect.spec.input_size).pixels
    compute = devices.choose("cpu", "fp32", 1)
    again = distilled_again(purified, suspect, images, compute, 0)
    save_file(again.net.state_dict(), toy / "again.safetensors")
    [row] = evaluated(toy, "again").rows
    of_purified = found.rows[2]
    assert (of_purified.acc_distilled, of_purified.asr_distilled) == (row.acc, row.asr)


def test_every_head_is_trained_again_and_the_users_model_has_its_own(toy):
    heads = ("linear", "knn")
    rows = evaluated(toy, "suspect", "purified", lasting="suspect", heads=heads).rows
    linear, knn = rows[2:]
    assert linear.acc_distilled
    assert knn.acc_distilled
    assert linear.acc_tuned == knn.acc_tuned


def test_each_step_of_the_further_training_is_reported(toy):
    seen = list[Progress]()
    evaluated(toy, "suspect", "purified", lasting="suspect", on_progress=seen.append)
    distilled = [(each.done, each.total) for each in seen if each.phase == "purified: distil"]
    assert distilled == [(step, 60) for step in range(1, 61)]
    tuned = [each for each in seen if each.phase == "purified: fine-tune"]
    assert tuned[-1].done == tuned[-1].total


def test_an_encoder_that_diverges_is_named_in_its_row(toy, monkeypatch):
    """Of two encoders in a row, the second is measured; another row is complete."""
    real, called = lasting_outcomes.fine_tuned, []

    def second_diverges(*given, **options):
        called.append(given)
        if len(called) == 2:
            raise DivergedError("The loss is nan.")
        return real(*given, **options)

    monkeypatch.setattr(lasting_outcomes, "fine_tuned", second_diverges)
    paths = {"suspect": [toy / "suspect.safetensors"]}
    paths["purified"] = [toy / "purified.safetensors", toy / "clean.safetensors"]
    found = evaluated(toy, lasting="suspect", encoders=paths)
    suspect, purified = found.rows
    assert suspect.acc_tuned
    assert suspect.failure == ""
    assert purified.acc_tuned
    sentence = "encoder 1 of purified after fine-tuning not measured: The loss is nan."
    assert purified.failure == sentence
    assert sentence in evaluation_table(found.rows).notes
    assert Evaluation.from_json(found.to_json()).rows[1].failure == sentence


@pytest.mark.parametrize("name", ["suspekt", "reference", ""])
def test_another_name_is_refused_before_any_work(toy, name):
    with pytest.raises(UsageError, match=r"is not the name of an encoder .* name one of suspect\."):
        evaluated(toy, "suspect", lasting=name, reference=toy / "missing.pth")


def test_an_encoder_may_be_named_reference_if_none_is_given(toy):
    clean = [toy / "clean.safetensors"]
    paths = {"reference": clean, "purified": [toy / "purified.safetensors"]}
    reference, purified = evaluated(toy, lasting="reference", encoders=paths).rows
    assert reference.acc_tuned
    assert purified.acc_distilled


def test_without_a_trigger_nothing_can_come_back(toy):
    with pytest.raises(UsageError, match="the attack success rate"):
        evaluated(toy, "suspect", lasting="suspect", trigger=None, target=None)


def test_several_suspect_encoders_are_refused(toy):
    paths = {"suspect": [toy / "suspect.safetensors", toy / "clean.safetensors"]}
    with pytest.raises(UsageError, match="several encoders"):
        evaluated(toy, lasting="suspect", encoders=paths)


def test_too_few_images_are_refused_before_any_feature_is_computed(toy):
    with pytest.raises(DataError, match="has 4 images, and further training needs at least 8"):
        evaluated(toy, "suspect", "purified", lasting="suspect", train_limit=4)


def test_an_encoder_of_another_width_is_refused():
    suspect, wide = (
        EvaluatedEncoder(build(name), None) for name in ("tiny_resnet", "cifar_resnet20")
    )
    compute = devices.choose("cpu", "fp32", 1)
    further = lasting_outcomes.FurtherTraining("suspect", suspect.encoder, compute, "reference")
    further.check({"suspect": [suspect], "reference": [wide]})
    with pytest.raises(UsageError, match=r'"wide" .* cannot be distilled from it'):
        further.check({"suspect": [suspect], "wide": [wide]})
