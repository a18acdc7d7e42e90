"""A new estimator is one file and one line: it profiles an encoder with its own settings."""

import math
import tomllib
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError
from mimic_ray.method.estimators import estimator_registry
from mimic_ray.method.estimators.estimator_registry import ESTIMATORS, score_unit
from mimic_ray.method.mi_profile import estimate_settings, profile
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.recipe_keys import known_keys
from tests.method.small import SIDE, make
from tests.user_example import write_example


@dataclass(frozen=True)
class Size:
    """How large the maps are."""

    power: float = 1.0
    needs_maps: ClassVar[bool] = True

    def reduce(self, maps):
        return maps.abs().flatten(1)

    def estimate(self, reduced, features, seed):  # noqa: ARG002
        return float(reduced.mean()) ** self.power


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(ESTIMATORS._members, "size", f"{__name__}:Size")


def profiled(recipe):
    images = torch.rand(24, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    compute = Compute("cpu", "fp32", 1)
    return profile(make(1), make(2), images.split(8), parse_recipe(recipe), compute)


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_an_estimator_keeps_a_row_for_each_image_and_finds_what_depends(name):
    few = {} if "epochs" not in ESTIMATORS.settings(name) else {"epochs": 40}
    estimator = ESTIMATORS.resolve(name, few)
    generator = torch.Generator().manual_seed(0)
    features, others = torch.randn(2, 200, 3, generator=generator).unbind()
    maps = features[:, :, None, None].expand(-1, -1, 2, 2)
    reduced = estimator.reduce(maps)
    assert len(reduced) == 200
    assert reduced.ndim == 2
    same, independent = (estimator.estimate(reduced, each, 0) for each in (features, others))
    assert math.isfinite(same)
    assert math.isfinite(independent)
    assert same > max(0.2, independent) if estimator.needs_maps else same == independent > 0
    assert estimator.estimate(reduced, features, 0) == same


@pytest.mark.usefixtures("registered")
def test_a_registered_estimator_profiles_with_its_settings():
    assert "estimators.size.power" in known_keys()
    of = {"mutual_information": {"estimator": "size"}}
    once, squared = profiled(of), profiled({**of, "estimators": {"size": {"power": 2.0}}})
    assert squared.taps[0].score == pytest.approx(once.taps[0].score ** 2)
    assert once.estimator == "size"


@pytest.mark.usefixtures("registered")
def test_only_the_settings_of_the_chosen_estimator_decide_the_scores():
    plain = parse_recipe({"mutual_information": {"estimator": "size"}})
    content = plain.model_dump()
    content["estimators"]["gaussian"]["noise"] = 3.0
    content["mutual_information"]["threshold"] = 0.2
    assert estimate_settings(parse_recipe(content)) == estimate_settings(plain)
    content["estimators"]["size"]["power"] = 3.0
    assert estimate_settings(parse_recipe(content)) != estimate_settings(plain)


def test_the_uniform_estimator_does_not_run_the_encoder():
    def fails(*_):
        raise AssertionError("the encoder ran")

    encoder = make(1)
    encoder.register_forward_pre_hook(fails)
    recipe = parse_recipe({"mutual_information": {"estimator": "uniform"}})
    found = profile(
        encoder, encoder, [torch.rand(2, 3, SIDE, SIDE)], recipe, Compute("cpu", "fp32", 1)
    )
    assert [tap.share for tap in found.taps] == [0.5, 0.5]


def test_the_example_of_the_documentation_profiles(tmp_path, monkeypatch):
    _, toml = write_example(estimator_registry, tmp_path)
    monkeypatch.chdir(tmp_path)
    found = profiled(tomllib.loads(toml.read_text()))
    assert all(0 < tap.score < 5 for tap in found.taps)
    assert found.estimator == "my_estimators.py:Correlation"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def mine(maps): ...", "is of type function; estimators are classes with"),
        (
            "class mine:\n    def estimate(self): ...",
            r"mine has no method reduce\(maps\), which estimators need",
        ),
    ],
)
def test_a_users_estimator_of_another_form_is_refused(tmp_path, code, words):
    file = tmp_path / "mine.py"
    file.write_text(code)
    with pytest.raises(UsageError, match=words):
        profiled({"mutual_information": {"estimator": f"{file}:mine"}})


def test_only_scores_that_are_information_are_said_to_be_in_nats():
    units = {name: score_unit(name) for name in ESTIMATORS}
    assert units == {
        "gaussian": "nats",
        "infonce": "nats",
        "donsker_varadhan": "nats",
        "uniform": "",
    }
    assert score_unit("no_such_file.py:Mine") == ""
