import pytest

from tools import lowest_versions


def test_a_pin_is_any_patch_release_of_the_lower_bound():
    pins = lowest_versions.lowest(["ray[train,tune]>=2.60,<2.62", "tomli-w>=1.1"])
    assert pins == ["ray==2.60.*", "tomli-w==1.1.*"]


def test_a_dependency_without_a_lower_bound_is_refused():
    with pytest.raises(ValueError, match='"torch<3" has no lower bound'):
        lowest_versions.lowest(["torch<3"])


def test_every_main_dependency_of_the_project_is_pinned(capsys):
    lowest_versions.main()
    pins = capsys.readouterr().out.split()
    assert len(pins) > 10
    assert any(pin.startswith("torch==") for pin in pins)
