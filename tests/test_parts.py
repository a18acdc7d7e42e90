"""The names that a user's own file imports, and that they give what the module says."""

import torch

from mimic_ray import parts
from mimic_ray.base import member_settings, seeds
from mimic_ray.defences import defence_registry


def test_every_name_is_the_one_that_built_in_parts_use():
    homes = (member_settings, seeds, defence_registry)
    for name in parts.__all__:
        assert any(getattr(parts, name) is getattr(home, name, None) for home in homes), name
        assert f"`{name}`" in (parts.__doc__ or "") or f"`{name}(" in (parts.__doc__ or "")


def test_a_derived_key_gives_an_independent_draw_for_each_image():
    given = parts.keys(0, torch.arange(4000))
    first, second = parts.uniform(given, 1), parts.uniform(parts.keys(given, "angle"), 1)
    assert first.shape == (4000, 1)
    # The standard error of a correlation of 0 is 1 / sqrt(4000) = 0.016.
    assert torch.corrcoef(torch.cat([first, second], dim=1).T)[0, 1].abs() < 0.07
