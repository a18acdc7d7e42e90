from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pytest
from pydantic import ValidationError

from mimic_ray.base.member_settings import configured, sentence, setting, settings_model, validated

if TYPE_CHECKING:
    from torch import Tensor


def stripes(
    images: Tensor,
    *,
    period: Annotated[int, setting("Of the stripes.", unit="pixels", ge=2)] = 4,
    axis: Literal["x", "y"] = "x",
    bright=False,
) -> Tensor:
    return images, period, axis, bright


@dataclass(frozen=True)
class Critic:
    width: Annotated[int, setting("Hidden units.", ge=1)] = 8
    needs_maps: ClassVar[bool] = True


class Plain:
    def __init__(self, rate: float, steps: int = 3) -> None:
        self.rate, self.steps = rate, steps


def test_the_keyword_only_parameters_of_a_function_are_its_settings():
    fields = settings_model(stripes).model_fields
    assert list(fields) == ["period", "axis", "bright"]
    assert fields["period"].description == "Of the stripes."
    assert fields["period"].json_schema_extra == {"unit": "pixels"}


def test_the_parameters_of_a_class_are_its_settings():
    assert list(settings_model(Critic).model_fields) == ["width"]
    assert list(settings_model(Plain).model_fields) == ["rate", "steps"]


def test_values_are_converted_to_the_declared_type_or_that_of_the_default():
    values = validated(stripes, {"period": "6", "bright": "true"})
    assert values == {"period": 6, "axis": "x", "bright": True}
    assert configured(stripes, values)(1) == (1, 6, "x", True)
    assert validated(Plain, {"rate": "0.5"}) == {"rate": 0.5, "steps": 3}
    assert configured(Plain, {"rate": 0.5}).rate == 0.5


@pytest.mark.parametrize(
    ("member", "settings"),
    [
        (stripes, {"period": 1}),
        (stripes, {"axis": "z"}),
        (stripes, {"perod": 4}),
        (Critic, {"width": "wide"}),
        (Plain, {}),
        (Plain, {"rate": float("nan")}),
    ],
)
def test_other_values_and_names_are_refused(member, settings):
    with pytest.raises(ValidationError):
        validated(member, settings)


@pytest.mark.parametrize(
    ("member", "settings", "said"),
    [
        (stripes, {"period": 1}, "period = 1: must be 2 or more"),
        (stripes, {"period": "wide"}, "period = 'wide': must be an integer"),
        (stripes, {"period": 2.5}, "period = 2.5: must be an integer"),
        (stripes, {"axis": "z"}, "axis = 'z': must be x or y"),
        (stripes, {"bright": "no!"}, "bright = 'no!': must be true or false"),
        (Plain, {"rate": float("nan")}, "rate = nan: must be a finite number"),
        (Plain, {"rate": "fast"}, "rate = 'fast': must be a number"),
        (Plain, {}, "rate is missing"),
    ],
)
def test_a_refused_value_is_one_phrase_in_our_words(member, settings, said):
    with pytest.raises(ValidationError) as caught:
        validated(member, settings)
    (problem,) = caught.value.errors()
    assert sentence(problem, problem["loc"][0]) == said


def test_a_function_without_settings_is_returned_unchanged():
    def plain(images):
        return images

    assert configured(plain, {}) is plain
