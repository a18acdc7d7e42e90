import copy

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DivergedError
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe
from tests.method.small import SIDE, Images, make

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
    with pytest.raises(DivergedError, match="not finite at step 2"):
        next(steps)
    assert torch.equal(before, run.student.encoder.net.stage[0].weight)


def test_weights_that_are_not_finite_are_never_kept_though_the_loss_is():
    run = distillation()
    next(run.run())
    with torch.no_grad():
        run.student.encoder.net.stem[1].running_var[0] = float("inf")  # unused while training
    with pytest.raises(DivergedError, match=r"diverged: .*not finite after step 1"):
        run.state()


def frozen_norms(run):
    for module in run.student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return run


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_a_batch_in_parts_makes_the_same_step(parts):
    """Without batch norm's statistics, to which each part is a batch of its own."""
    taps = {"stem": 0.4, "stage": 0.6}
    sections = {"loss": {"attention": 1.0}, "tap_weights": taps}
    whole = frozen_norms(distillation(**sections))
    training = {"steps": 8, "batch": 8, "accumulate": parts}
    cut = frozen_norms(distillation(training=training, **sections))
    for row, expected in zip(cut.run(), whole.run(), strict=True):
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-5)
    for ours, theirs in zip(weights(cut), weights(whole), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(cut.adversary.slots, whole.adversary.slots, strict=True):
        torch.testing.assert_close(ours.canvas, theirs.canvas, rtol=1e-5, atol=1e-5)


def late(run):
    """The same run read as on a GPU: a step's numbers while the next one runs."""
    run._metrics.lag = 1
    return run


def test_numbers_read_late_are_the_same_numbers_in_the_same_order():
    at_once, later = distillation(), late(distillation())
    assert list(later.run()) == list(at_once.run())
    assert same(at_once, later)


def test_steps_that_nobody_has_read_are_settled_before_the_state():
    run = late(distillation())
    steps = run.steps()
    assert next(steps) == []
    assert [row["step"] for row in next(steps)] == [1]
    assert [row["step"] for row in run.settle()] == [2]
    assert run.state()["step"] == 2


def test_a_loss_that_is_not_finite_is_never_taken_in_though_it_is_read_late():
    run = late(distillation())
    steps = run.steps()
    next(steps)
    with torch.no_grad():
        run.student.encoder.net.stem[0].weight[0, 0, 0, 0] = float("nan")
    before = copy.deepcopy(run.student.encoder.net.stage[0].weight)
    next(steps)  # takes step 2, reads step 1
    with pytest.raises(DivergedError, match="not finite at step 2"):
        next(steps)
    assert torch.equal(before, run.student.encoder.net.stage[0].weight)


def test_a_larger_batch_scales_the_rate_by_the_rule_that_was_chosen():
    rates = {}
    for rule in ("none", "linear", "sqrt"):
        training = {"steps": 8, "batch": 16, "schedule": "constant", "scale_learning_rate": rule}
        rates[rule] = next(distillation(training=training).run())["learning_rate"]
    assert rates["linear"] == pytest.approx(rates["none"] * 16 / 64)
    assert rates["sqrt"] == pytest.approx(rates["none"] * (16 / 64) ** 0.5)


def test_symmetric_views_without_perturbation_leave_nothing_to_learn_at_the_start():
    """Teacher and student are equal and see the same, so the first loss is that of batch norm."""
    none = {
        name: {"probability": 0.0} for name in ("patch", "blend", "frequency", "colour", "warp")
    }
    off = {"share": 0.0}
    run = distillation(views={"asymmetric": False}, adversary=off, openings=off, perturbations=none)
    run.student.eval()  # the teacher's own statistics
    assert next(run.run())["clone"] == pytest.approx(0.0, abs=1e-6)


def test_images_of_one_size_come_out_at_the_encoder_s_size():
    assert distillation().side == SIDE


class LargeSet(Images):
    """Images of which the machine cannot keep all shards, ten images each."""

    too_large = True

    def __init__(self, count):
        super().__init__(count)
        self.expected = []
        self.read = []

    def shards(self):
        return torch.arange(len(self)) // 10

    def expect(self, shards):
        self.expected.append(shards)

    def gather(self, indices):
        self.read += indices.tolist()
        return super().gather(indices)


def test_a_set_larger_than_the_cache_is_read_by_shard_and_the_user_is_told():
    images = LargeSet(40)
    run = distillation(steps=15, images=images)
    assert "depends on the number of workers" in run.notes[0]
    images.read.clear()  # those that are mixed into others
    list(run.run())
    first, last = images.read[:40], images.read[40:80]
    assert sorted(first) == sorted(last) == list(range(40))
    assert first != last
    assert [sorted(shards) for shards in images.expected] == [[0, 1, 2, 3]] * 3
    assert distillation().notes == []
