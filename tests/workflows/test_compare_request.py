"""The arguments of a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.base.errors import DataError, UnknownNameError, UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.defences.defence_registry import DEFENCES
from mimic_ray.defences.stop_rule import Contest
from mimic_ray.execution.defence_run import NamedDefence
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.workflows.compare_request import (
    check_labels,
    check_placement,
    contest,
    held_out_number,
    most_images,
    named_defences,
)
from tests.support import toy_defences

FILE = Path(toy_defences.__file__)


@pytest.fixture(autouse=True)
def _toy_default(monkeypatch):
    monkeypatch.setitem(DEFENCES._members, "default", "tests.support.toy_defences:default")


def test_without_names_all_built_in_defences_are_compared_default_first():
    found = [*named_defences([])]
    assert found[0] == "default"
    assert sorted(found) == sorted(DEFENCES)


def test_default_always_runs_and_stands_first():
    assert [*named_defences([f"{FILE}:noise"])] == ["default", f"{FILE}:noise"]
    found = named_defences([f"{FILE}:noise", "default:scale=0.3"])
    assert [*found] == ["default:scale=0.3", f"{FILE}:noise"]
    assert found["default:scale=0.3"].settings == {"scale": 0.3}


def test_strengths_are_those_declared_unless_the_user_set_one():
    found = named_defences([f"{FILE}:noise", f"{FILE}:noise:scale=1", f"{FILE}:fails"])
    made = contest(found, 2)
    assert made.strengths == {
        "default": (),
        f"{FILE}:noise": (0.02, 0.05, 0.5, 2.0),
        f"{FILE}:noise:scale=1": (),
        f"{FILE}:fails": (),
    }
    assert (made.baseline, made.seeds) == ("default", (0, 1))
    assert found[f"{FILE}:noise"].at(2.0) == {"scale": 2.0}
    assert found[f"{FILE}:noise"].at(None) == {"scale": 0.5}


@pytest.mark.parametrize(
    ("texts", "kind", "words"),
    [
        (["fine_tunig"], UnknownNameError, ["fine_tunig", "Did you mean fine_tuning", "default"]),
        (["fine_tuning", "fine_tuning"], UsageError, ["is given twice"]),
        (["default:scal=1"], UnknownNameError, ["scal", "scale"]),
        (["default:scale=-1"], UsageError, ["default", "scale"]),
        (["default:scale"], UsageError, ["defence default", "KEY=VALUE"]),
        (["nowhere.py:f"], UsageError, ["nowhere.py", "does not exist"]),
        ([f"{FILE}:unknown"], UsageError, ["unknown"]),
    ],
)
def test_a_defence_that_cannot_be_used_is_named(texts, kind, words):
    with pytest.raises(kind) as raised:
        named_defences(texts)
    for word in words:
        assert word in raised.value.message


def test_a_strength_that_is_no_setting_is_refused(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from mimic_ray.defences.defence_registry import strengths\n"
        "@strengths('rate', 1, 2)\ndef f(inputs, *, steps=3): ...\n"
    )
    with pytest.raises(
        UsageError, match=r"strength rate, which is not one of its settings \(steps"
    ):
        named_defences([f"{mine}:f"])


def labels(**given):
    names = ("train", "test", "trigger", "target", "reference")
    values = dict.fromkeys(names) | {"count_target": False, "head_seeds": 3} | given
    check_labels(**values)


BOTH = {"train": "a", "test": "b"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train": "a"}, "train= and test= must be given together"),
        ({**BOTH, "trigger": "patch"}, "trigger= and target= must be given together"),
        ({**BOTH, "target": "3"}, "trigger= and target= must be given together"),
        ({"trigger": "patch", "target": "3"}, "trigger= needs train= and test="),
        ({"head": "own"}, "head= needs train= and test="),
        ({"reference": "c.pth"}, "reference= needs train= and test="),
        ({**BOTH, "reference": "c.pth"}, "reference= needs trigger= and target="),
        ({**BOTH, "count_target": True}, "count_target= needs trigger= and target="),
        ({"head_seeds": 0}, "head_seeds=0 must be at least 1"),
    ],
)
def test_labels_that_do_not_go_together_are_refused(given, words):
    with pytest.raises(UsageError) as raised:
        labels(**given)
    assert words in raised.value.message


def test_labels_that_go_together_are_accepted():
    labels()
    labels(**BOTH)
    labels(**BOTH, trigger="patch", target="3", reference="c.pth", count_target=True)


def test_resources_of_a_run_with_workers_are_refused():
    check_placement(Resources(cpus_per_worker=2, gpus_per_worker=0.5, address="auto"))
    with pytest.raises(UsageError, match="workers=2 does not apply to a comparison"):
        check_placement(Resources(workers=2))


def test_a_seed_is_needed():
    with pytest.raises(UsageError, match="seeds=0"):
        contest(named_defences([]), 0)


@pytest.mark.parametrize(
    ("images", "share", "number"),
    [(64, 0.1, 32), (1000, 0.1, 100), (2000, 0.1, 200), (50_000, 0.1, 500), (50_000, 0.001, 50)],
)
def test_between_32_and_500_images_are_held_out(images, share, number):
    assert held_out_number(images, share, "images") == number


def test_too_few_images_and_shares_that_are_none_are_refused():
    with pytest.raises(DataError, match="images has 63 images: the stop rule needs 32"):
        held_out_number(63, 0.1, "images")
    with pytest.raises(DataError, match="needs 95"):
        held_out_number(100, 0.95, "images")
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(UsageError, match="held_out="):
            held_out_number(1000, share, "images")


def test_the_steps_of_each_round_count():
    text = "i_bau:rounds=4,adversary_steps=5,steps=10,batch=8"
    alone = {text: named_defences([text])[text]}
    recipe = parse_recipe({}, "of default")
    assert most_images(Contest(text, {text: ()}, (0,)), alone, recipe) == 4 * (5 + 10) * 8


@pytest.mark.parametrize(
    ("defence", "settings", "runs"),
    [("clp", {"u": 3.0}, 0), ("default", {"steps": 0, "batch": 0}, 1), ("mine.py:f", {}, 1)],
)
def test_only_built_in_defences_without_steps_cost_no_steps(defence, settings, runs):
    named = {defence: NamedDefence(defence, settings, "")}
    recipe = parse_recipe({"training": {"steps": 100, "batch": 8}}, "of default")
    assert most_images(Contest(defence, {defence: ()}, (0,)), named, recipe) == runs * 800
