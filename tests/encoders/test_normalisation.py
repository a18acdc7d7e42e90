"""Statistics of the input by name."""

from __future__ import annotations

from mimic_ray.encoders.normalisation import NORMALISATIONS, name_of


def test_every_statistics_has_one_name():
    assert [name_of(*each) for each in NORMALISATIONS.values()] == [*NORMALISATIONS]
    assert name_of((0.1, 0.2, 0.3), (1.0, 1.0, 1.0)) == ""
