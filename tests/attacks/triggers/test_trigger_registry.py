"""What every trigger promises, and what it takes to add one: a line here or a user's own file."""

from __future__ import annotations

import inspect

import pytest
import torch

from mimic_ray.attacks.triggers import trigger_registry
from mimic_ray.attacks.triggers.trigger import make_trigger, write_trigger
from mimic_ray.attacks.triggers.trigger_registry import TRIGGERS, split_settings
from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.member_settings import settings_model
from tests.user_example import write_example


def corner_dot(image_side: int, *, level: float = 1.0):
    """One pixel in the upper left corner."""
    mask, add = torch.ones(3, image_side, image_side), torch.zeros(3, image_side, image_side)
    mask[:, 0, 0], add[:, 0, 0] = 0, level
    return mask, add


@pytest.fixture(autouse=True)
def registered(monkeypatch, tmp_path):
    """A trigger that is one function and one line, and one of a user's own file."""
    monkeypatch.setitem(TRIGGERS._members, "corner_dot", f"{__name__}:corner_dot")
    write_example(trigger_registry, tmp_path)
    monkeypatch.chdir(tmp_path)


BUILT_IN = [*TRIGGERS]
NAMES = [*BUILT_IN, "corner_dot", "my_triggers.py:stripes"]


def test_the_table_has_every_trigger():
    assert BUILT_IN == ["patch", "noise_patch", "blend", "dct", "sine"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [32, 64, 224])
def test_every_trigger_fits_its_images_and_changes_them_all_alike(name, side):
    trigger = make_trigger(name, side)
    assert trigger.side == side
    assert trigger.mask.shape == trigger.add.shape == (3, side, side)
    assert trigger.mask.dtype == trigger.add.dtype == torch.float32
    assert trigger.mask.min() >= 0
    assert trigger.mask.max() <= 1
    images = torch.full((2, 3, side, side), 100, dtype=torch.uint8)
    changed = trigger.apply(images)
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, images)
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(trigger.add, make_trigger(name, side).add)


@pytest.mark.parametrize("name", NAMES)
def test_every_trigger_is_described_and_its_settings_have_defaults(name):
    function = TRIGGERS.member(name)
    assert inspect.getdoc(function)
    for key, field in settings_model(function).model_fields.items():
        assert not field.is_required(), key
        assert field.description or name not in BUILT_IN


@pytest.mark.parametrize("name", NAMES)
def test_every_trigger_survives_its_file(name, tmp_path):
    trigger = make_trigger(name, 32)
    write_trigger(trigger, tmp_path / "t.npz")
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.manual_seed(0)).byte()
    again = make_trigger(str(tmp_path / "t.npz"), 32)
    assert torch.equal(again.apply(images), trigger.apply(images))


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_is_answered_with_those_that_it_has(name):
    known = settings_model(TRIGGERS.member(name)).model_fields
    with pytest.raises(UnknownNameError, match=f"It has {', '.join(known)}"):
        make_trigger(f"{name}:wigth=3", 32)


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("patch", "patch", {}),
        ("patch:side=3, gap = 0,", "patch", {"side": "3", "gap": "0"}),
        ("my.py:f", "my.py:f", {}),
        ("/a/my.py:f:x=1,y=b:c", "/a/my.py:f", {"x": "1", "y": "b:c"}),
        ("my.py:f:file=other.py:g", "my.py:f", {"file": "other.py:g"}),
    ],
)
def test_settings_follow_the_name(text, name, settings):
    assert split_settings(text) == (name, settings)


def test_settings_reach_a_function_of_a_users_file():
    wide, narrow = (make_trigger(f"my_triggers.py:stripes:period={p}", 32) for p in (8, 4))
    assert (wide.add[0, 0, :8] == 0).all()
    assert (wide.add[0, 0, 8:16] == 0.1).all()
    assert (narrow.add[0, 0, 4:8] == 0.1).all()
    with pytest.raises(UsageError, match="period = '0': must be 1 or more"):
        make_trigger("my_triggers.py:stripes:period=0", 32)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return torch.ones(3, side, side), torch.ones(side, side)", r"addend of shape \[32, 32\]"),
        ("return torch.ones(3, side, side), torch.full((3, side, side), torch.nan)", "finite"),
        ("return torch.full((3, side, side), 2.0), torch.ones(3, side, side)", "outside 0..1"),
        ("return tensor(side)", r"NameError: .*mine\.py, line 3"),
        ("return side", "failed with TypeError"),
    ],
)
def test_a_users_trigger_that_fails_is_named_with_its_error(tmp_path, body, words):
    (tmp_path / "mine.py").write_text(f"import torch\ndef mine(side):\n    {body}\n")
    with pytest.raises(UsageError, match=words):
        make_trigger("mine.py:mine", 32)


def test_a_users_file_without_that_trigger_is_refused():
    with pytest.raises(UsageError, match='has no "dots"'):
        make_trigger("my_triggers.py:dots", 32)
    with pytest.raises(UsageError, match="does not exist"):
        make_trigger("other.py:dots", 32)
