"""The official recipe's step against the authors' formulas, restated from facts about their code.

Theirs: student on view 1, on view 2 and on view 1 again for its maps, all in train mode; clone term
-mean<n(h_S), n(h_T)>; attention per tap = mean over B, H, W of (q(S) - q(T))^2 with weight w_l;
NT-Xent at 0.5; Adam. Here written out naively, with three passes and exp instead of log-sum-exp.
"""

import copy

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.losses.weighted_terms import weighted_terms
from mimic_ray.method.step import step_loss
from mimic_ray.method.student import Student
from mimic_ray.method.student_teacher_views import Pair
from mimic_ray.method.teacher import teacher_forward
from mimic_ray.store.recipe_file import load_recipe
from tests.method.small import SIDE, make

WEIGHTS = {"stem": 3100.0, "stage": 8900.0}
COMPUTE = Compute("cpu", "fp32", 1)


def q(tap):
    energy = tap.pow(2).sum(dim=1)
    return energy / (energy.flatten(1).norm(dim=1).view(-1, 1, 1) + 1e-6)


def authors_step(student, teacher, x1, x2):
    """Returns the terms; gradients and buffers are left on `student`."""
    encoder, projector = student.encoder, student.projector

    def forward(images):
        feature = encoder(images)
        return F.normalize(feature, dim=1), F.normalize(projector(feature), dim=1)

    h1, z1 = forward(x1)
    _, z2 = forward(x2)
    out = torch.cat([z1, z2])
    batch = len(x1)
    similar = torch.exp(out @ out.T / 0.5)
    others = similar[~torch.eye(2 * batch, dtype=torch.bool)].view(2 * batch, -1).sum(dim=1)
    positive = torch.exp((z1 * z2).sum(dim=1) / 0.5)
    contrastive = (-torch.log(torch.cat([positive, positive]) / others)).mean()
    _, student_maps = encoder(x1, taps=list(WEIGHTS))
    with torch.no_grad():
        teacher_feature, teacher_maps = teacher(x1, taps=list(WEIGHTS))
    attention = sum(
        w * (q(s) - q(t)).pow(2).mean()
        for w, s, t in zip(WEIGHTS.values(), student_maps, teacher_maps, strict=True)
    )
    clone = -(h1 * F.normalize(teacher_feature, dim=1)).sum(dim=1).mean()
    loss = contrastive + attention + clone
    loss.backward()
    return {"loss": loss, "clone": clone, "attention": attention, "contrastive": contrastive}


@pytest.fixture
def both_steps():
    recipe = load_recipe("official")
    teacher = make(1).eval().requires_grad_(False)
    ours = Student(make(2), list(WEIGHTS), True, recipe.views.repeat_statistics).train()
    theirs = copy.deepcopy(ours)
    x1, x2 = torch.rand(2, 10, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).unbind()
    expected = authors_step(theirs, teacher, x1, x2)
    pair = Pair(teacher=x1, student=x1, second=x2)
    output = teacher_forward(teacher, pair.teacher, list(WEIGHTS), COMPUTE)
    terms = weighted_terms(recipe.loss)
    terms = step_loss(ours, output, pair, WEIGHTS, terms, COMPUTE, ProcessGroup())
    terms["loss"].backward()
    return ours, theirs, terms, expected


def test_every_term_is_theirs(both_steps):
    _, _, terms, expected = both_steps
    for name in ("contrastive", "attention"):
        assert terms[name].item() == pytest.approx(expected[name].item(), rel=1e-5)
    # Ours adds the constant 1, which has no gradient.
    assert terms["clone"].item() - 1 == pytest.approx(expected["clone"].item(), abs=1e-5)


def test_every_gradient_is_theirs(both_steps):
    ours, theirs, _, _ = both_steps
    for (name, left), right in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # 1e-5 of the tensor's largest entry: with weights of thousands some reach 100.
        scale = max(1.0, right.grad.abs().max().item())
        assert (left.grad - right.grad).abs().max().item() < 1e-5 * scale, name


def test_every_buffer_is_theirs_after_the_step(both_steps):
    ours, theirs, _, _ = both_steps
    for (name, left), right in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(left.float(), right.float(), atol=1e-5), name
    counts = [int(b) for n, b in ours.encoder.named_buffers() if n.endswith("num_batches_tracked")]
    assert counts == [3, 3]


def test_no_hook_is_left_on_either_network(both_steps):
    ours, _, _, _ = both_steps
    for module in ours.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
