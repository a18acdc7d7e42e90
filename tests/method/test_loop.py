import copy

import pytest
import torch
from small import SIDE, Images, make

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import TrainingError
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe

COMPUTE = Compute("cpu", "fp32", 1)
EVERYTHING = {"attention": 1.0, "contrastive": 0.5}


def recipe(steps=8, **sections):
    return parse_recipe({"training": {"steps": steps, "batch": 8}, **sections})


def distillation(steps=8, images=None, tap_weights=None, **sections):
    teacher = make(1)
    return Distillation(
        student=copy.deepcopy(teacher),
        teacher=teacher,
        images=images or Images(40),
        recipe=recipe(steps, **sections),
        tap_weights=tap_weights or {},
        compute=COMPUTE,
    )


def weights(run):
    return list(run.student.state_dict().values())


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(weights(left), weights(right), strict=True))


@pytest.mark.parametrize("sections", [{}, {"loss": EVERYTHING}])
def test_a_resumed_run_ends_with_the_same_bits(sections):
    taps = {"stem": 0.4, "stage": 0.6}
    unbroken = distillation(tap_weights=taps, **sections)
    rows = list(unbroken.run())
    broken = distillation(tap_weights=taps, **sections)
    steps = broken.run()
    first_rows = [next(steps) for _ in range(3)]
    resumed = distillation(tap_weights=taps, **sections)
    resumed.load(copy.deepcopy(broken.state()))
    assert first_rows + list(resumed.run()) == rows
    assert same(unbroken, resumed)


def test_the_seed_decides_the_run():
    one, same_seed = distillation(), distillation()
    other = distillation(training={"steps": 8, "batch": 8, "seed": 1})
    for run in (one, same_seed, other):
        list(run.run())
    assert same(one, same_seed)
    assert not same(one, other)


def test_the_student_learns_to_ignore_what_the_teacher_does_not_see():
    run = distillation(steps=60)
    rows = list(run.run())
    first, last = (sum(row["clone"] for row in part) for part in (rows[:10], rows[-10:]))
    assert last < 0.7 * first


def test_the_teacher_is_left_as_it_was():
    run = distillation()
    before = copy.deepcopy(run.teacher.state_dict())
    list(run.run())
    assert all(torch.equal(before[k], v) for k, v in run.teacher.state_dict().items())
    assert all(p.grad is None for p in run.teacher.parameters())


def test_terms_without_weight_are_not_computed():
    assert set(next(distillation().run())) == {"step", "learning_rate", "loss", "clone"}


def test_a_loss_that_is_not_finite_stops_before_the_update():
    run = distillation()
    steps = run.run()
    next(steps)
    with torch.no_grad():
        run.student.encoder.net.stem[0].weight[0, 0, 0, 0] = float("nan")
    before = copy.deepcopy(run.student.encoder.net.stage[0].weight)
    with pytest.raises(TrainingError, match="not finite at step 2"):
        next(steps)
    assert torch.equal(before, run.student.encoder.net.stage[0].weight)


def test_symmetric_views_without_perturbation_leave_nothing_to_learn_at_the_start():
    """Teacher and student are equal and see the same, so the first loss is that of batch norm."""
    none = {
        name: {"probability": 0.0} for name in ("patch", "blend", "frequency", "colour", "warp")
    }
    run = distillation(views={"asymmetric": False}, adversary={"share": 0.0}, perturbations=none)
    run.student.eval()  # the teacher's own statistics
    assert next(run.run())["clone"] == pytest.approx(0.0, abs=1e-6)


def test_images_of_one_size_come_out_at_the_encoder_s_size():
    assert distillation().side == SIDE
