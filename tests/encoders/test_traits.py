"""The facts of a network that its weights do not determine."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.traits import Traits


def test_only_traits_that_a_network_has_are_stated():
    assert Traits().stated() == {}
    assert Traits(heads=6, pooling="mean").stated() == {"heads": 6, "pooling": "mean"}


def test_a_trait_of_a_wrong_type_is_refused():
    with pytest.raises(UsageError, match=r"heads='6'.*an int"):
        Traits(heads="6")
