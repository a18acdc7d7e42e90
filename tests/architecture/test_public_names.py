import pytest

import mimic_ray


def test_every_public_name_is_there_and_described():
    for name in set(mimic_ray.__all__) - {"__version__"}:
        assert getattr(mimic_ray, name).__doc__


def test_other_names_are_refused_by_python_s_own_error():
    with pytest.raises(AttributeError, match="no attribute 'purfy'"):
        _ = mimic_ray.purfy
