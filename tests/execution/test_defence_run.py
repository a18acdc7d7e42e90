"""One run of a defence, with toy defences."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import StoppedError
from mimic_ray.defences.stop_rule import DefenceRun
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.features import features
from mimic_ray.execution.defence_run import BlindInputs, NamedDefence, run_unit
from mimic_ray.execution.shared_inputs import ArrayImages
from tests.support import toy_defences

FILE = Path(toy_defences.__file__)
NAMES = (
    *("default", "noise", "fails", "diverges", "changes_the_suspect", "another_architecture"),
    "nothing",
)


@pytest.fixture(scope="module")
def inputs() -> BlindInputs:
    torch.manual_seed(0)
    state = build("tiny_resnet").net.state_dict()
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    return BlindInputs(
        architecture="tiny_resnet",
        suspect={key: value.numpy() for key, value in state.items()},
        images=ArrayImages(images[:20]),
        held_out=ArrayImages(images[20:]),
        defences={name: NamedDefence(f"{FILE}:{name}", {}, "scale") for name in NAMES},
        compute=Compute("cpu", "fp32", 1),
    )


def test_fidelity_is_that_on_held_out_images(inputs):
    result, encoder = run_unit(inputs, DefenceRun("default", None, 3))
    student = features(encoder, inputs.held_out, inputs.compute)
    suspect = features(inputs.suspect_encoder(), inputs.held_out, inputs.compute)
    assert result.cosine == pytest.approx((student * suspect).sum(1).mean().item())
    assert 0 < result.overlap <= 1
    assert (result.images_seen, result.notes, result.failure) == (100, (), "")
    assert (result.clock, result.seconds > 0) == ("CPU", True)
    assert not encoder.training


def test_a_strength_replaces_the_setting(inputs):
    weak, _ = run_unit(inputs, DefenceRun("noise", 0.02, 0))
    strong, _ = run_unit(inputs, DefenceRun("noise", 2.0, 0))
    assert weak.cosine > 0.95 > strong.cosine
    assert weak.notes == ("noise was added.",)


def test_the_same_seed_gives_the_same_encoder(inputs):
    one, again, other = (
        run_unit(inputs, DefenceRun("noise", 0.5, seed))[1].net.conv1.weight for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails", "RuntimeError: no idea"),
        ("diverges", "not finite"),
        ("another_architecture", "not a tiny_resnet"),
        ("nothing", "returned a NoneType, not a Defended"),
    ],
)
def test_a_failure_is_a_sentence_of_the_result(inputs, name, words):
    result, encoder = run_unit(inputs, DefenceRun(name, None, 0))
    assert encoder is None
    assert result.cosine is None
    assert words in result.failure
    assert "\n" not in result.failure


def test_a_defence_that_changes_the_suspect_spoils_no_other(inputs):
    run_unit(inputs, DefenceRun("changes_the_suspect", None, 0))
    result, _ = run_unit(inputs, DefenceRun("noise", 0.0, 0))
    assert result.cosine == pytest.approx(1.0)


def test_a_stop_during_a_defence_is_no_failure_of_it(inputs):
    def on_step(*progress):
        raise StoppedError(f"Stopped at {progress}.")

    with pytest.raises(StoppedError):
        run_unit(inputs, DefenceRun("default", None, 0), on_step)


def test_a_defence_sees_no_label_no_trigger_and_no_held_out_image(inputs):
    names = {field.name for field in dataclasses.fields(inputs)}
    assert not names & {"labels", "train", "test", "trigger", "target", "reference"}
    seen = []

    class Watched(ArrayImages):
        def gather(self, indices):
            seen.append("held out")
            return super().gather(indices)

    watched = dataclasses.replace(inputs, held_out=Watched(inputs.held_out.pixels))

    def on_step(*progress):
        assert not seen, f"at {progress} the held-out images were read before the defence ended"

    run_unit(watched, DefenceRun("default", None, 0), on_step)
    assert seen
