import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.teacher import record, recording_bytes, recording_key
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


def distillation(teacher, settings, recording=None):
    return Distillation(
        student=make(1),  # a copy would share the hooks that count
        teacher=teacher,
        images=Images(40),
        recipe=settings,
        tap_weights=TAPS,
        compute=COMPUTE,
        recording=recording,
    )


def forwards(encoder):
    """Counts the images that go through `encoder` from now on."""
    counted = []
    encoder.register_forward_pre_hook(lambda module, inputs: counted.append(len(inputs[0])))
    return counted


def recorded(teacher, settings):
    return record(teacher, Images(40), settings, list(TAPS), COMPUTE, "key")


@pytest.mark.parametrize(("attention", "close"), [(0.0, 1e-5), (1.0, 2e-2)])
def test_a_recorded_teacher_teaches_what_the_live_one_does(attention, close):
    """Attention maps are kept in half precision, which Adam at 4e-3 carries on over the steps."""
    settings = parse_recipe({**recipe().model_dump(), "loss": {"attention": attention}})
    live = list(distillation(make(1), settings).run())
    teacher = make(1)
    told = list(distillation(teacher, settings, recorded(teacher, settings)).run())
    assert told[0] == pytest.approx(live[0], rel=1e-4)
    for row, expected in zip(told, live, strict=True):
        assert row == pytest.approx(expected, rel=close)


def test_a_recorded_teacher_is_asked_once_for_each_fixed_view():
    teacher = make(1)
    counted = forwards(teacher)
    recording = recorded(teacher, recipe())
    assert sum(counted) == 2 * 40
    list(distillation(teacher, recipe(), recording).run())
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


def test_symmetric_views_are_not_recorded():
    settings = parse_recipe(
        {"views": {"fixed": 2, "asymmetric": False}, "adversary": {"share": 0.0}}
    )
    with pytest.raises(ValueError, match="asymmetric"):
        recorded(make(1), settings)


def test_the_key_tells_views_apart_and_nothing_else():
    key = recording_key(recipe(), "images", "weights")
    other_loss = parse_recipe({**recipe().model_dump(), "loss": {"clone": 3.0}})
    assert recording_key(other_loss, "images", "weights") == key
    others = [
        recording_key(recipe(**v), "images", "weights") for v in ({"fixed": 3}, {"shift": 0.2})
    ]
    others += [recording_key(recipe(), "others", "weights"), recording_key(recipe(), "images", "w")]
    assert len({key, *others}) == 5


def test_the_size_is_known_before():
    recording = recorded(make(1), recipe())
    arrays = [recording.features, *recording.attention.values()]
    positions = {"stem": 64, "stage": 16}
    assert recording_bytes(recipe(), 40, 12, positions) == sum(array.nbytes for array in arrays)
