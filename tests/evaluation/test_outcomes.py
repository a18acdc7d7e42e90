"""Which images heads classify right, with heads whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.heads import HEADS
from mimic_ray.evaluation.outcomes import LabelledTest, Outcomes, acc_over, asr_over
from tests.support.images_in_memory import ImagesInMemory

CPU = Compute("cpu", "fp32", 1)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build("tiny_resnet").eval()


def a_test(**settings) -> LabelledTest:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=generator)
    held = ImagesInMemory(images)
    return LabelledTest(held, LABELS, held, LABELS, 3, **settings)


def always(label):
    return lambda features: torch.full((len(features),), label)


def test_acc_counts_equal_labels_for_each_head(encoder):
    found = a_test().with_heads(encoder, [always(0), always(1)], CPU)
    assert found.correct.tolist() == [[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0]]
    assert found.hits is None


@pytest.mark.parametrize(("count_target", "counted"), [(False, 4), (True, 6)])
def test_asr_leaves_out_the_target_class_unless_told(encoder, count_target, counted):
    images = a_test(triggered=lambda x: x, target=2, count_target=count_target)
    found = images.with_heads(encoder, [always(2), always(0)], CPU)
    assert found.hits.shape == (2, counted)
    assert found.hits.sum(axis=1).tolist() == [counted, 0]


def test_the_trigger_changes_what_heads_see(encoder):
    blind = a_test(triggered=torch.zeros_like, target=1)
    black = []

    def head(features):
        black.append(features)
        return torch.zeros(len(features), dtype=torch.int64)

    blind.with_heads(encoder, [head], CPU)
    clean, triggered = black
    assert clean.std(dim=0).max() > 1e-4
    assert triggered.std(dim=0).max() < 1e-5  # the same black image


def test_new_heads_are_as_many_as_seeds(encoder):
    linear = HEADS.resolve("linear")
    assert a_test().with_new_heads(encoder, linear, 2, CPU).correct.shape == (2, 6)
    assert a_test().with_new_heads(encoder, HEADS.resolve("knn"), 2, CPU).correct.shape == (1, 6)


def test_shares_are_means_over_encoders_and_heads():
    first = Outcomes(np.array([[1, 1, 0, 0]], np.uint8), np.array([[1, 1]], np.uint8))
    second = Outcomes(np.array([[1, 0, 0, 0]], np.uint8), np.array([[0, 0]], np.uint8))
    assert acc_over([first, second]).share == pytest.approx(3 / 8)
    assert asr_over([first, second]).share == pytest.approx(1 / 2)
    assert asr_over([Outcomes(first.correct)]) is None
