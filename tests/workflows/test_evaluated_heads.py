"""`evaluate(heads=[FILE])` measures with a classifier from a file of its own, and trains none."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from mimic_ray import evaluate
from mimic_ray.base import devices
from mimic_ray.base.errors import MissingCheckpointError, UnknownNameError, UsageError
from mimic_ray.data.labelled import open_labelled
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.features import features
from mimic_ray.weight_files.load import load_checkpoint
from tests.cli.toy_images import save_checkpoint, save_images


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Images of three colours, an encoder, and a head that chooses the nearest class mean."""
    folder = tmp_path_factory.mktemp("heads")
    save_images(folder / "train", each=20, seed=0)
    save_images(folder / "test", each=10, seed=1)
    save_checkpoint(folder / "suspect.safetensors")
    encoder = load_checkpoint(folder / "suspect.safetensors", "tiny_resnet").encoder
    train = open_labelled(folder / "train", encoder.spec.input_size)
    found = features(encoder, train.pixels, devices.choose("cpu", "fp32", 1), unit=False)
    means = torch.stack([found[train.labels == label].mean(dim=0) for label in range(3)])
    head = {"model.fc.weight": means, "model.fc.bias": -0.5 * means.square().sum(dim=1)}
    torch.save({"state_dict": head}, folder / "head.pth")
    # The same classes in another order: right for none of red and blue.
    swapped = {key: value.flip(0).contiguous() for key, value in head.items()}
    save_file(swapped, folder / "swapped.safetensors")
    return folder


def evaluated(toy, heads, **options):
    return evaluate(
        {"suspect": toy / "suspect.safetensors"},
        toy / "train",
        toy / "test",
        encoder="tiny_resnet",
        heads=heads,
        seeds=1,
        threads=1,
        **options,
    )


def test_the_head_of_a_file_is_applied_and_not_trained(toy):
    found = evaluated(toy, [toy / "head.pth", str(toy / "swapped.safetensors"), "linear"])
    assert [row.head for row in found.rows] == ["head.pth", "swapped.safetensors", "linear"]
    right, swapped, _ = (row.acc.share for row in found.rows)
    assert right > 0.9
    assert swapped < 0.4
    assert [len(row.scores) for row in found.rows] == [1, 1, 1]
    assert "not trained" in found.settings["head head.pth"]
    assert "Adam" in found.settings["head linear"]


def test_the_record_says_that_the_head_in_the_file_is_not_trained(toy):
    head = load_file(toy / "swapped.safetensors")
    fitting = {f"module.fc.{key.rpartition('.')[2]}": value for key, value in head.items()}
    save_file(load_file(toy / "suspect.safetensors") | fitting, toy / "with_head.safetensors")
    options = {"encoder": "tiny_resnet", "seeds": 3, "threads": 1}
    paths = {"suspect": toy / "with_head.safetensors"}
    found = evaluate(paths, toy / "train", toy / "test", heads=["own"], **options)
    assert found.settings["head own"] == "the classifier in each file, not trained"
    assert "seeds" not in found.settings


def test_a_head_file_of_another_width_is_refused_with_both_numbers(toy, tmp_path):
    width = build("tiny_resnet").spec.feature_width
    save_file({"weight": torch.zeros(3, width + 1)}, tmp_path / "wide.safetensors")
    with pytest.raises(UsageError, match=rf"of width {width + 1} .* of width {width}"):
        evaluated(toy, [tmp_path / "wide.safetensors"])


def test_a_head_file_with_fewer_classes_than_the_images_is_refused(toy, tmp_path):
    head = load_file(toy / "swapped.safetensors")
    save_file({key: value[:2].clone() for key, value in head.items()}, tmp_path / "two.safetensors")
    with pytest.raises(UsageError, match=r"The head model\.fc has 2 classes and .*test has 3"):
        evaluated(toy, [tmp_path / "two.safetensors"])


def test_names_that_are_neither_a_kind_nor_a_file_are_refused(toy):
    with pytest.raises(UnknownNameError, match=r"Did you mean linear.* own\. For a file"):
        evaluated(toy, ["lineal"])
    with pytest.raises(MissingCheckpointError, match=r"none\.pth"):
        evaluated(toy, [toy / "none.pth"])
    with pytest.raises(UsageError, match=r"Two heads are named head\.pth"):
        evaluated(toy, [toy / "head.pth", toy / "head.pth"])
