"""Fidelity in words."""

from mimic_ray.report.fidelity_text import fidelity_sentence, fidelity_warning


def test_it_says_on_which_images():
    found = {"cosine": 0.9567, "overlap": 0.713, "score": 0.8, "images": 1234, "held_out": True}
    assert fidelity_sentence(found) == (
        "cosine 0.957, 71 % of neighbours kept, on 1,234 images held out of training"
    )
    assert "that it was trained on" in fidelity_sentence({**found, "held_out": False})


def test_a_student_that_lost_its_features_is_named_with_the_way_out():
    assert fidelity_warning({"cosine": 0.96}) == ""
    assert "lower training.learning_rate" in fidelity_warning({"cosine": 0.57})
