"""What every attack of the registry promises to the command that runs it."""

from __future__ import annotations

import inspect

import pytest

from mimic_ray.attacks.attack_registry import ATTACKS
from mimic_ray.base.errors import UnknownNameError

# workflows/attack.py passes these, by position.
PARAMETERS = ["clean", "images", "features", "references", "trigger", "settings", "compute"]


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_takes_what_the_command_passes(name):
    attack = ATTACKS.member(name)
    assert [*inspect.signature(attack).parameters][: len(PARAMETERS)] == PARAMETERS
    assert inspect.getdoc(attack)


def test_a_wrong_name_is_answered_with_the_near_one():
    with pytest.raises(UnknownNameError) as refused:
        ATTACKS.resolve("badencodr")
    assert refused.value.near == ("badencoder",)
