"""What every attack promises, and what it takes to add one: a function and one line."""

from __future__ import annotations

import copy
import importlib
import json
import sys
from typing import Annotated

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.attacks.attack_registry import ATTACKS, AttackedEncoder, AttackInputs
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UnknownNameError
from mimic_ray.base.member_settings import setting, settings_model
from mimic_ray.cli.command_as_job import job_command
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder_registry import build
from tests.cli.command_lines import required
from tests.cli.toy_images import run, save_checkpoint, save_images
from tests.support.images_in_memory import ImagesInMemory


def scaled(
    inputs: AttackInputs, *, factor: Annotated[float, setting("Of the first weights.", gt=0)] = 2.0
) -> AttackedEncoder:
    """Scale the weights of the first layer; no attack at all."""
    encoder = copy.deepcopy(inputs.clean)
    with torch.no_grad():
        next(encoder.parameters()).mul_(factor)
    change = inputs.trigger(inputs.references).float() - inputs.references.float()
    inputs.on_step(1, 1, 0.5)
    return AttackedEncoder(encoder, {"pixels": [float(change.abs().mean())]})


@pytest.fixture
def registered(monkeypatch):
    """The one line: a name and where it is defined. The command line reads the table again."""
    importlib.import_module("mimic_ray.cli.attack_command")
    monkeypatch.setitem(ATTACKS._members, "scaled", f"{__name__}:scaled")
    monkeypatch.delitem(sys.modules, "mimic_ray.cli.attack_command")


@pytest.mark.parametrize("name", [*ATTACKS, "scaled"])
@pytest.mark.usefixtures("registered")
def test_every_attack_returns_an_encoder_of_the_same_kind_and_leaves_the_clean_one(name):
    clean = build("tiny_resnet").eval().requires_grad_(False)
    before = copy.deepcopy(clean.state_dict())
    images = torch.randint(0, 256, (70, 3, 32, 32), generator=torch.manual_seed(0)).byte()
    features = F.normalize(clean(to_float(images)), dim=1)
    done = []
    inputs = AttackInputs(
        clean,
        ImagesInMemory(images),
        features,
        images[:2],
        lambda pixels: 255 - pixels,
        Compute("cpu", "fp32", 1),
        lambda *progress: done.append(progress),
    )
    known = ATTACKS.settings(name)
    small = {key: value for key, value in (("steps", 2), ("batch", 32)) if key in known}
    attacked = ATTACKS.resolve(name, small)(inputs)
    assert attacked.encoder.state_dict().keys() == before.keys()
    assert not all(torch.equal(v, before[k]) for k, v in attacked.encoder.state_dict().items())
    assert all(torch.equal(value, before[key]) for key, value in clean.state_dict().items())
    lengths = {len(values) for values in attacked.losses.values()}
    assert lengths == {len(done)}
    assert done[-1][0] == done[-1][1] == len(done)


@pytest.mark.parametrize("name", [*ATTACKS, "scaled"])
@pytest.mark.usefixtures("registered")
def test_every_setting_has_a_default_and_a_description_and_is_no_option_of_the_command(name):
    model = settings_model(ATTACKS.member(name))
    assert ATTACKS.description(name) != name
    shared = {word.strip("-").replace("-", "_") for word in required(f"attack {name}")}
    for key, field in model.model_fields.items():
        assert not field.is_required()
        assert field.description
        assert key not in shared | {"target", "references", "device", "threads", "limit", "json"}


@pytest.mark.usefixtures("registered")
def test_a_registered_attack_is_a_command_with_its_settings_as_options(tmp_path, capsys):
    save_images(tmp_path / "shadow", each=4, seed=0)
    save_checkpoint(tmp_path / "clean.safetensors")
    words = ["--encoder", "tiny_resnet", "--teacher", tmp_path / "clean.safetensors"]
    words += ["--data", tmp_path / "shadow", "--trigger", "patch:value=9", "--target", "red"]
    words = ["attack", "scaled", *words, "--out", tmp_path / "out", "--threads", 1]
    assert run([*words, "--factor=3"]) == 0, capsys.readouterr().err
    record = json.loads((tmp_path / "out/attack.json").read_text())
    assert (record["attack"], record["settings"]) == ("scaled", {"factor": 3.0})
    assert record["losses"]["step"] == [1]
    assert record["losses"]["pixels"][0] > 0

    for more, sentence in (
        (["--factor", "-1"], "attack scaled: factor = '-1': must be greater than 0"),
        (["--facter", "2"], 'There is no option "--facter". Did you mean --factor'),
        (["--treads", "2"], "Did you mean --threads"),
        (["--factor"], "--factor needs a value"),
        (["more"], 'Unexpected argument "more"'),
    ):
        assert run([*words, *more]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("registered")
def test_the_help_of_a_registered_attack_has_its_settings(capsys):
    assert run(["attack", "scaled", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Scale the weights of the first layer; no attack at all." in shown
    assert "--factor <float> Of the first weights. [default: 2.0]" in shown.replace("│ ", "")


@pytest.mark.usefixtures("registered")
def test_a_job_gets_the_settings_of_a_registered_attack():
    sent = job_command([*required("attack scaled"), "--factor", "3", "--threads=2"])
    assert sent.words[:2] == ["attack", "scaled"]
    assert sent.words[-2:] == ["--factor", "3"]
    assert "2" in sent.words


def test_a_wrong_name_is_answered_with_the_near_one():
    with pytest.raises(UnknownNameError) as refused:
        ATTACKS.resolve("badencodr")
    assert refused.value.near == ("badencoder",)
