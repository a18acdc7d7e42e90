import math

import pytest

from mimic_ray.method.mi_profile import Profile, TapScore, select
from mimic_ray.method.recipe_sections import MutualInformation
from tests.support.frame_columns import columns_of


def test_weights_are_floor_plus_scale_times_share():
    """The authors' 1000 + 10000 * share."""
    settings = MutualInformation(floor=1000, scale=10000)
    chosen = select([1.0, 3.0], settings)
    assert [weight for _, _, weight in chosen] == [3500.0, 8500.0]


def test_a_tap_under_the_threshold_has_no_weight_whatever_the_floor():
    chosen = select([1.0, 9.0], MutualInformation(threshold=0.2, floor=5, scale=1))
    assert chosen[0] == (0.1, False, 0.0)
    assert chosen[1] == (0.9, True, pytest.approx(5.9))


@pytest.mark.parametrize("scores", [[0.0, 0.0], [math.inf, 1.0], [math.nan, 1.0]])
def test_scores_that_say_nothing_give_equal_shares(scores):
    assert [share for share, _, _ in select(scores, MutualInformation())] == [0.5, 0.5]


def test_a_profile_survives_json():
    profile = Profile((TapScore("layer1", 1.5, 1.0, True, 2.0, 0.3),), "teacher", "gaussian", 10)
    assert Profile.from_json(profile.to_json()) == profile


def test_a_frame_has_a_line_for_each_tap():
    taps = (TapScore("a", 1.5, 0.6, True, 2.0, 0.3), TapScore("b", 1.0, 0.4, False, 0.0, 0.2))
    frame = columns_of(Profile(taps, "teacher", "gaussian", 10).to_frame())
    assert (frame["tap"], frame["share"], frame["kept"]) == (["a", "b"], [0.6, 0.4], [True, False])
