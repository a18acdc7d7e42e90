from __future__ import annotations

import pytest
import torch

from mimic_ray.defences.sau import sau, shared_goal
from mimic_ray.defences.training_loop import batches, suspect_as_student
from mimic_ray.method.adversary import UniversalAdversary
from mimic_ray.method.recipe_sections import Adversary
from tests.support.first_step import FIRST_RATE, adam_step, cosine_distance, require_step
from tests.support.small_defence_inputs import defence_inputs


def test_the_goal_is_that_both_move_alike_and_to_one_place():
    torch.manual_seed(0)
    f, g, plain = (torch.nn.functional.normalize(torch.randn(3, 5), dim=1) for _ in range(3))
    alike, together = 0.0, 0.0
    for i in range(3):
        a_f, a_g = f[i] - plain[i], g[i] - plain[i]
        alike += float(a_f.norm() * a_g.norm() * torch.cosine_similarity(a_f, a_g, dim=0)) / 3
        together += sum(float(f[i] @ f[j]) for j in range(3) if j != i) / 6
    assert shared_goal(f, g, plain, 0.5).item() == pytest.approx(alike + 0.5 * together, rel=1e-4)


def test_a_student_that_keeps_the_plain_feature_leaves_nothing_to_share():
    f, plain = (torch.nn.functional.normalize(torch.randn(4, 5), dim=1) for _ in range(2))
    assert shared_goal(f, plain, plain, 0.0).item() == 0


def test_a_step_unlearns_the_change_and_raises_what_moves_both_alike(monkeypatch):
    inputs = defence_inputs()
    ascended = []
    improve = UniversalAdversary.improve

    def seen(self: UniversalAdversary, gradient: torch.Tensor, used: list[int]) -> None:
        ascended.append(gradient.clone())
        improve(self, gradient, used)

    monkeypatch.setattr(UniversalAdversary, "improve", seen)
    made = sau(inputs, share=0.5, concentration=0.25, rate=1e-3, steps=1, batch=16).encoder

    images = next(batches(inputs, 1, 16))
    view, suspect, student = images.view(), inputs.suspect, suspect_as_student(inputs)
    settings = Adversary(size=0.2, share=0.5, uses=16, slots_per_step=1)
    adversary = UniversalAdversary(settings, 32, inputs.seed, torch.device("cpu"))
    changed, leaf, _ = adversary.attach(view, images.keys, 0)
    wanted, found = suspect(view), student(changed)
    rows = [i for i in range(16) if not torch.equal(changed[i], view[i])]
    assert 2 <= len(rows) < 16

    n, with_change = torch.nn.functional.normalize, suspect(changed)
    goal = torch.zeros(())
    for i in rows:
        plain = n(wanted[i], dim=0)
        a_f, a_g = n(with_change[i], dim=0) - plain, n(found[i], dim=0) - plain
        goal = goal + (a_f * a_g).sum() / len(rows)
        pairs = [torch.cosine_similarity(with_change[i], with_change[j], 0) for j in rows if j != i]
        goal = goal + 0.25 * torch.stack(pairs).mean() / len(rows)
    (expected,) = torch.autograd.grad(goal, leaf, retain_graph=True)
    torch.testing.assert_close(ascended[0], expected, rtol=1e-3, atol=1e-7)

    cosine_distance(found, wanted).backward()
    require_step(made, student, lambda w, g: adam_step(w, g, 1e-3 * FIRST_RATE), 1e-2)
