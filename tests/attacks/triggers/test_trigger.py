import math

import pytest
import torch

from mimic_ray.attacks.triggers.trigger import Trigger, make_trigger
from mimic_ray.base.errors import UnknownNameError, UsageError


def grey(level, side=32, count=1):
    return torch.full((count, 3, side, side), level, dtype=torch.uint8)


@pytest.mark.parametrize(("side", "first", "last"), [(32, 21, 30), (224, 173, 222)])
def test_the_default_patch_is_badencoders(side, first, last):
    changed = make_trigger("patch", side).apply(grey(7, side))[0]
    white = torch.zeros(side, side, dtype=torch.bool)
    white[first : last + 1, first : last + 1] = True
    assert (changed[:, white] == 255).all()
    assert (changed[:, ~white] == 7).all()


def test_patch_settings_place_it():
    trigger = make_trigger("patch:side=3,gap=0,corner=top-right,value=128", 8)
    changed = trigger.apply(grey(0, 8))[0, 0]
    assert (changed[:3, 5:] == 128).all()
    assert changed.sum() == 9 * 128


def test_another_seed_is_another_noise():
    first, second = (make_trigger(f"noise_patch:seed={s}", 32) for s in (0, 1))
    assert torch.equal(first.mask, second.mask)
    assert int((1 - first.mask).sum()) == 3 * 7 * 7
    assert not torch.equal(first.add, second.add)


def test_the_blend_is_a_weighted_mean_with_one_noise_image():
    trigger = make_trigger("blend:alpha=0.25", 16)
    assert torch.equal(trigger.apply(grey(0, 16))[0].float(), (255 * trigger.add + 1e-3).floor())
    bright = trigger.apply(grey(255, 16))[0].float() / 255
    assert (bright - (0.75 + trigger.add)).abs().max() < 1 / 255
    assert trigger.add.max() <= 0.25


def test_the_dct_trigger_is_one_coefficient_of_its_channels():
    trigger = make_trigger("dct:u=3,v=5,amplitude=0.1,channels=gb", 16)
    position = (2 * torch.arange(16.0) + 1) * math.pi / 32
    basis = torch.cos(torch.arange(16.0)[:, None] * position)
    coefficients = basis @ trigger.add[1] @ basis.T / 64  # squared norm of a basis image
    expected = torch.zeros(16, 16)
    expected[3, 5] = 0.1
    assert (coefficients - expected).abs().max() < 1e-6
    assert torch.equal(trigger.add[1], trigger.add[2])
    assert not trigger.add[0].any()


def test_the_sine_runs_along_its_axis_with_its_periods():
    trigger = make_trigger("sine:periods=4,amplitude=0.2", 32)
    expected = 0.2 * torch.sin(2 * math.pi * 4 * torch.arange(32) / 32)
    assert (trigger.add - expected).abs().max() < 1e-6
    other = make_trigger("sine:periods=4,amplitude=0.2,axis=y", 32)
    assert (other.add - trigger.add.mT).abs().max() < 1e-6


def test_bright_and_dark_ends_are_clamped_not_wrapped():
    ends = make_trigger("sine:amplitude=0.5", 32)
    assert (ends.apply(grey(250)).int() - 250).min() < -100
    assert ends.apply(grey(250))[0, :, :, 1].unique().tolist() == [255]
    assert ends.apply(grey(5))[0].amin() == 0


def test_every_level_survives_float32():
    levels = torch.arange(256).view(16, 16).expand(3, 16, 16)
    trigger = Trigger("levels", torch.zeros(3, 16, 16), levels.float() / 255)
    assert torch.equal(trigger.apply(grey(9, 16))[0], levels.byte())
    kept = Trigger("nothing", torch.ones(3, 16, 16), torch.zeros(3, 16, 16))
    assert torch.equal(kept.apply(levels.byte()[None])[0], levels.byte())


@pytest.mark.parametrize(
    ("text", "near"), [("pach", "patch"), ("patch:cornr=x", "corner"), ("sine:period=2", "periods")]
)
def test_unknown_names_come_with_near_ones(text, near):
    with pytest.raises(UnknownNameError) as caught:
        make_trigger(text, 32)
    assert near in caught.value.near


@pytest.mark.parametrize(
    "text",
    [
        *("patch:side=32", "patch:side=0", "patch:side=x", "patch:corner=middle"),
        *("patch:value=256", "patch:gap=-1", "noise_patch:side=40", "patch:side"),
        *("blend:alpha=0", "blend:alpha=1.5", "blend:alpha=nan"),
        *("dct:u=32", "dct:channels=X", "dct:channels=", "sine:axis=z", "sine:periods=inf"),
    ],
)
def test_values_that_cannot_be_are_refused_with_the_trigger_named(text):
    with pytest.raises(UsageError, match=text.partition(":")[0].removeprefix("noise_")):
        make_trigger(text, 32)
