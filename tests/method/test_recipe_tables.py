import pickle

import pytest
from pydantic import ValidationError

from mimic_ray.method.recipe_tables import Estimators, Loss, Perturbations


def test_a_table_that_is_given_in_part_keeps_the_other_defaults():
    found = Perturbations.model_validate({"patch": {"strength": 2.0}}).root
    assert found["patch"].strength == 2.0
    assert found["patch"].probability == 0.3
    assert found["blend"].probability == 0.3
    assert found["blur"].probability == 0.0


def test_a_number_is_the_weight_of_a_term():
    found = Loss.model_validate({"attention": 2, "contrastive": {"temperature": 0.1}})
    assert found.weight("attention") == 2.0
    assert found.root["attention"].own == {"over": "sum"}
    assert found.root["contrastive"].own == {"temperature": 0.1, "negatives": "global"}
    assert list(found.active()) == ["clone", "attention"]
    assert found.weight("mine.py:term") == 0.0


def test_a_users_own_member_keeps_any_settings_until_its_file_runs():
    found = Loss.model_validate({"nowhere.py:spread": {"weight": 0.1, "margin": "wide"}})
    assert found.root["nowhere.py:spread"].own == {"margin": "wide"}
    assert Estimators.model_validate({"nowhere.py:Mine": {"bins": 3}}).own("nowhere.py:Mine") == {
        "bins": 3
    }


def test_every_mistake_in_every_table_is_found_with_its_key():
    with pytest.raises(ValidationError) as caught:
        Loss.model_validate(
            {"clon": 1, "attention": {"over": "max"}, "contrastive": {"weight": -1, "heat": 2}}
        )
    assert {error["loc"] for error in caught.value.errors()} == {
        ("clon",),
        ("attention", "over"),
        ("contrastive", "weight"),
        ("contrastive", "heat"),
    }


@pytest.mark.parametrize("model", [Perturbations, Loss, Estimators])
def test_tables_survive_a_dump_and_a_pickle(model):
    found = model.model_validate({})
    assert model.model_validate(found.model_dump(mode="json")) == found
    assert pickle.loads(pickle.dumps(found)) == found
