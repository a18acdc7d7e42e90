from mimic_ray.method.losses.weighted_terms import (
    reads_taps,
    uses_second_view,
    uses_taps,
    weighted_terms,
)
from mimic_ray.method.recipe_tables import Loss


def loss(**tables):
    return Loss.model_validate(tables)


def test_terms_come_with_their_weights_and_settings():
    terms = weighted_terms(loss(clone=0.5, contrastive={"weight": 2, "temperature": 0.1}))
    assert {name: term.weight for name, term in terms.items()} == {"clone": 0.5, "contrastive": 2.0}
    assert terms["contrastive"].compute.temperature == 0.1


def test_the_terms_decide_what_the_networks_compute():
    plain, attention, contrastive = (
        weighted_terms(loss(**weights)).values()
        for weights in ({}, {"attention": 1}, {"contrastive": 1})
    )
    assert [uses_taps(terms) for terms in (plain, attention, contrastive)] == [False, True, False]
    assert [uses_second_view(t) for t in (plain, attention, contrastive)] == [False, False, True]
    assert reads_taps(loss(attention=0.1))
    assert not reads_taps(loss(attention=0))


def test_a_users_file_does_not_run_where_it_must_not():
    terms = weighted_terms(Loss.model_validate({"nowhere.py:term": 1.0}), with_user_code=False)
    assert list(terms) == ["clone"]
