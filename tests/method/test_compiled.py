import copy

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.method.compiled import compile_encoder
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe
from tests.method.small import Images


def distillation(name="tiny_resnet", **training):
    torch.manual_seed(0)
    teacher = encoder_registry.build(name)
    sections = {"training": {"steps": 3, "batch": 8, **training}, "loss": {"attention": 1.0}}
    return Distillation(
        student=copy.deepcopy(teacher),
        teacher=teacher,
        images=Images(16, side=teacher.spec.input_size),
        recipe=parse_recipe(sections),
        tap_weights=dict.fromkeys(teacher.spec.taps, 1.0),
        compute=Compute("cpu", "fp32", 1),
    )


def test_without_a_compiler_the_run_goes_on_and_says_so(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    run = distillation(compile=True)
    assert any("no C++ compiler" in note for note in run.notes)
    assert list(run.run()) == list(distillation().run())


def test_a_machine_with_a_compiler_has_nothing_to_note():
    assert distillation().notes == []


def test_names_of_weights_stay(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda forward, **_: compiled.append(forward) or forward)
    encoder = encoder_registry.build("tiny_vit")
    before = list(encoder.state_dict())
    assert compile_encoder(encoder) == len(compiled) == 3
    assert list(encoder.state_dict()) == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("name", ["tiny_resnet", "tiny_vit"])
@pytest.mark.parametrize("recompute", [False, True])
def test_compiled_steps_are_the_plain_ones(name, recompute):
    plain = distillation(name)
    compiled = distillation(name, compile=True, checkpoint_activations=recompute)
    assert compiled.notes == []
    for row, expected in zip(compiled.run(), plain.run(), strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)
