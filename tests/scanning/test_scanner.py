"""The scan of one encoder: scores, other encoders under the same changes, refusals."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import CheckpointError
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.scanning.openings import FAMILIES, Images
from mimic_ray.scanning.scanner import scan_encoder
from tests.evaluation.suspicion.planted import encoder, images

CPU = Compute("cpu", "fp32", 1)
EVERY = images(96)
PARTS = Images(EVERY[::3], EVERY[1::3], EVERY[2::3])


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def found(steps):
    return scan_encoder(
        encoder(40.0),
        PARTS,
        CPU,
        0,
        "quick",
        reference=encoder(0.0),
        student=encoder(40.0),
        on_step=lambda done, total: steps.append((done, total)),
    )


@pytest.mark.usefixtures("found")
def test_each_batch_through_an_encoder_is_reported(steps):
    done = [done for done, _ in steps]
    (total,) = {total for _, total in steps}
    assert done[0] == 0
    assert done == sorted(set(done))
    assert done[-1] == total, "other encoders included"
    # At most 256 small images at a time, three times over where there is a gradient.
    assert max(after - before for before, after in pairwise(done)) <= 3 * 256
    assert len(done) > total / (3 * 256)


def test_the_score_of_a_family_is_its_strongest_opening(found):
    for family in FAMILIES:
        own = [o.gathering * o.landing for o in found.openings if o.change.family == family]
        assert found.scores()[family] == pytest.approx(max(own))


def test_a_reference_without_the_backdoor_does_not_answer_to_the_planted_change(found):
    pairs = list(zip(found.openings, found.reference, strict=True))
    patches = [(o, r) for o, r in pairs if o.change.family == "patch"]
    assert all(o.gathering > r + 0.1 for o, r in patches)
    beyond = max(o.gathering * o.landing - r for o, r in patches)
    assert found.excess()["patch"] == pytest.approx(beyond)


def test_a_student_with_the_backdoor_answers_as_the_suspect_does(found):
    own = [opening.gathering for opening in found.openings]
    assert found.student == pytest.approx(own, abs=1e-5)


def test_an_encoder_against_itself_has_no_excess():
    same = scan_encoder(encoder(40.0), PARTS, CPU, 0, "quick", reference=encoder(40.0))
    assert max(same.excess().values()) < 1e-5


def test_encoders_are_left_as_they_were():
    trained = encoder(5.0).train()
    scan_encoder(trained, PARTS, CPU, 0, "quick")
    assert trained.training
    assert all(parameter.requires_grad for parameter in trained.parameters())


class _Constant(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, pictures):
        return self.value.expand(len(pictures), 8) + 0 * pictures.mean()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.0, "gives all images the same feature"),
        (0.0, "gives all images the same feature"),
        (float("nan"), "features that are not finite"),
    ],
)
def test_an_encoder_that_answers_nothing_is_refused(value, message):
    spec = Spec("constant", 8, 32, (0.0,) * 3, (1.0,) * 3, ())
    constant = Encoder(spec, _Constant(value), lambda net, pictures, _: (net(pictures), {}))
    with pytest.raises(CheckpointError, match=message):
        scan_encoder(constant, PARTS, CPU, 0, "quick")
