"""The contract of every built-in defence."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.base.member_settings import settings_model
from mimic_ray.defences import defence_registry
from mimic_ray.defences.defence_registry import (
    DEFENCES,
    Defended,
    declared_strengths,
    strengths,
)
from mimic_ray.encoders import encoder_registry
from tests.support.small_defence_inputs import defence_inputs, pixels

ARCHITECTURES = ("tiny_resnet", "tiny_vit")
NEED_BATCH_NORM = {"batch_norm"}
NEED_NO_IMAGES = {"clp"}
# Two steps at the usual settings leave every unit of a random network in place.
CUT_MORE = {"clp": {"u": 0.5}, "anp": {"rate": 50, "threshold": 0.9}, "rnp": {"rate": 2e3}}


def short(name: str) -> dict[str, Any]:
    """Settings with which a defence takes two steps of 8 images."""
    values = dict[str, Any](CUT_MORE.get(name, {}))
    for setting in DEFENCES.settings(name):
        if setting.endswith(("steps", "epochs", "rounds")):
            values[setting] = 2
        elif setting == "batch":
            values[setting] = 8
    return values


def defend(name: str, architecture: str = "tiny_resnet", seed: int = 0, **more: Any) -> Defended:
    inputs = defence_inputs(architecture, seed)
    return DEFENCES.resolve(name, {**short(name), **more})(inputs)


def state(encoder: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in encoder.state_dict().items()}


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_the_registry_lists_every_file_that_declares_a_defence():
    folder = Path(defence_registry.__file__).parent
    declaring = {
        path.stem for path in folder.glob("*.py") if "\n@strengths(" in path.read_text("utf-8")
    }
    listed = {DEFENCES.member(name).__module__.rpartition(".")[2] for name in DEFENCES}
    assert declaring == listed


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", DEFENCES)
def test_it_makes_a_usable_encoder_and_leaves_the_suspect_as_it_was(name, architecture):
    inputs = defence_inputs(architecture)
    before, progress = state(inputs.suspect), list[tuple[int, int]]()
    inputs = replace(inputs, on_step=lambda done, total: progress.append((done, total)))
    defence = DEFENCES.resolve(name, short(name))
    if architecture == "tiny_vit" and name in NEED_BATCH_NORM:
        with pytest.raises(UsageError, match="tiny_vit has no batch norm"):
            defence(inputs)
        return
    untouched = copy.deepcopy(inputs.suspect)

    made = defence(inputs)

    assert equal(state(inputs.suspect), before)
    assert not inputs.suspect.training
    assert not any(p.requires_grad for p in inputs.suspect.parameters())
    assert not made.encoder.training
    assert not any(p.requires_grad for p in made.encoder.parameters())
    fresh = encoder_registry.build(architecture).eval()
    fresh.net.load_state_dict(made.encoder.net.state_dict())
    images = pixels().float() / 255
    with torch.no_grad():
        found = fresh(images)
        torch.testing.assert_close(found, made.encoder(images))
        assert found.isfinite().all()
        assert not torch.equal(found, untouched(images)), "the defence changed nothing"
    if name in NEED_NO_IMAGES:
        assert made.images_seen == 0
        return
    assert made.images_seen > 0
    totals = {total for _, total in progress}
    assert len(totals) == 1, "the number of all steps must be known from the start"
    done = [done for done, _ in progress]
    assert done == [*([0] * done.count(0)), *range(1, totals.pop() + 1)]


@pytest.mark.parametrize("name", DEFENCES)
def test_the_seed_decides_everything(name):
    torch.manual_seed(1)
    first = defend(name, seed=4)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = defend(name, seed=4)
    assert torch.equal(torch.get_rng_state(), before), "torch's generator must not move"
    assert equal(state(first.encoder), state(again.encoder))
    if name not in NEED_NO_IMAGES:
        assert not equal(state(first.encoder), state(defend(name, seed=5).encoder))


@pytest.mark.parametrize("name", DEFENCES)
def test_its_strengths_are_values_of_one_of_its_settings(name):
    declared = declared_strengths(DEFENCES.member(name))
    assert declared is not None
    assert len(set(declared.values)) == len(declared.values) >= 2
    assert list(declared.values) in (sorted(declared.values), sorted(declared.values)[::-1])
    defaults = DEFENCES.settings(name)
    assert defaults[declared.setting] in declared.values, "the default is a point of the curve"
    for value in declared.values:
        assert DEFENCES.settings(name, {declared.setting: value})[declared.setting] == value


@pytest.mark.parametrize("name", DEFENCES)
def test_it_is_described_in_one_line_and_so_is_each_setting(name):
    assert DEFENCES.description(name)
    for setting, field in settings_model(DEFENCES.member(name)).model_fields.items():
        assert field.description, setting


@pytest.mark.parametrize("name", [n for n in DEFENCES if "batch" in DEFENCES.settings(n)])
def test_too_few_images_are_refused(name):
    inputs = defence_inputs(count=6)
    with pytest.raises(UsageError, match="6 images"):
        DEFENCES.resolve(name, short(name))(inputs)


def test_a_function_without_strengths_has_none_and_a_partial_keeps_them():
    assert declared_strengths(lambda inputs: inputs) is None

    @strengths("rate", 1, 2)
    def mine(inputs: object, *, rate: float = 1) -> None: ...

    declared = declared_strengths(mine)
    assert declared is not None
    assert (declared.setting, declared.values) == ("rate", (1, 2))
