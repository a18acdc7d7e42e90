import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.teacher_cache import (
    fill_teacher_cache,
    teacher_cache_bytes,
    teacher_cache_key,
)
from tests.method.small import Images, make

COMPUTE = Compute("cpu", "fp32", 1)
TAPS = {"stem": 0.4, "stage": 0.6}


def recipe(**views):
    return parse_recipe(
        {
            "training": {"steps": 15, "batch": 8},
            "views": {"fixed": 2, **views},
            "loss": {"attention": 1.0},
        }
    )


def distillation(teacher, settings, teacher_cache=None):
    return Distillation(
        student=make(1),  # a copy would share the hooks that count
        teacher=teacher,
        images=Images(40),
        recipe=settings,
        tap_weights=TAPS,
        compute=COMPUTE,
        teacher_cache=teacher_cache,
    )


def forwards(encoder):
    """Counts the images that go through `encoder` from now on."""
    counted = []
    encoder.register_forward_pre_hook(lambda module, inputs: counted.append(len(inputs[0])))
    return counted


def filled_cache(teacher, settings):
    return fill_teacher_cache(teacher, Images(40), settings, list(TAPS), COMPUTE, "key")


@pytest.mark.parametrize(("attention", "close"), [(0.0, 1e-5), (1.0, 2e-2)])
def test_cached_outputs_train_the_student_like_the_teacher_itself(attention, close):
    """Attention maps are kept in half precision, which Adam at 4e-3 carries on over the steps."""
    settings = parse_recipe({**recipe().model_dump(), "loss": {"attention": attention}})
    live = list(distillation(make(1), settings).run())
    teacher = make(1)
    cached = list(distillation(teacher, settings, filled_cache(teacher, settings)).run())
    assert cached[0] == pytest.approx(live[0], rel=1e-4)
    for row, expected in zip(cached, live, strict=True):
        assert row == pytest.approx(expected, rel=close)


def test_the_teacher_runs_once_for_each_fixed_view():
    teacher = make(1)
    counted = forwards(teacher)
    teacher_cache = filled_cache(teacher, recipe())
    assert sum(counted) == 2 * 40
    list(distillation(teacher, recipe(), teacher_cache).run())
    assert sum(counted) == 2 * 40


def test_fixed_views_come_again_and_their_perturbations_do_not():
    run = distillation(make(1), recipe())
    teachers, students = [], []
    run.teacher.register_forward_pre_hook(lambda m, x: teachers.append(x[0].clone()))
    run.student.register_forward_pre_hook(lambda m, x: students.append(x[0].clone()))
    run.plan = type(
        "SameOrder", (), {"steps_per_epoch": 5, "share": lambda self, step, r, w: torch.arange(8)}
    )()
    list(run.run())  # 15 steps of 5 an epoch: views 0, 1, 0
    assert torch.equal(teachers[0], teachers[10])
    assert not torch.equal(teachers[0], teachers[5])
    assert not torch.equal(students[0], students[10])


def test_symmetric_views_are_not_cached():
    settings = parse_recipe(
        {
            "views": {"fixed": 2, "asymmetric": False},
            "adversary": {"share": 0.0},
            "openings": {"share": 0.0},
        }
    )
    with pytest.raises(ValueError, match="asymmetric"):
        filled_cache(make(1), settings)


def test_the_key_depends_on_the_views_alone():
    key = teacher_cache_key(recipe(), "images", "weights")
    other_loss = parse_recipe({**recipe().model_dump(), "loss": {"clone": 3.0}})
    assert teacher_cache_key(other_loss, "images", "weights") == key
    others = [
        teacher_cache_key(recipe(**v), "images", "weights") for v in ({"fixed": 3}, {"shift": 0.2})
    ]
    others += [
        teacher_cache_key(recipe(), "others", "weights"),
        teacher_cache_key(recipe(), "images", "w"),
    ]
    assert len({key, *others}) == 5


def test_the_predicted_size_is_the_real_one():
    teacher_cache = filled_cache(make(1), recipe())
    arrays = [teacher_cache.features, *teacher_cache.attention.values()]
    assert teacher_cache_bytes(recipe(), 40, 12, 64 + 16) == sum(array.nbytes for array in arrays)
