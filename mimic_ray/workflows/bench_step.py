"""Our training step against the authors', restated from their formulas, in one process.

Theirs (wssun/MIMIC): student on both views, teacher on view 1 with gradients on, then both
networks layer by layer again for their maps, and backward through the teacher too: 13 units of one
forward. Ours: one tapped forward each. Process time on one thread, the sides taking turns.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.losses.attention import attention
from mimic_ray.method.process_group import ProcessGroup
from mimic_ray.method.recipe import Loss
from mimic_ray.method.step import step_loss
from mimic_ray.method.student import Student, channels_last_where_it_pays
from mimic_ray.method.student_teacher_views import Pair
from mimic_ray.method.teacher import ask
from mimic_ray.workflows.bench_ratio import Ratio

BATCH = 128


def bench_step(encoder: str = "cifar_resnet20", rounds: int = 5) -> list[Ratio]:
    """Seconds a step of batch 128: same maths, without the contrastive term, in bf16."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        teacher = encoder_registry.build(encoder)
        side = teacher.spec.input_size
        first, second = torch.rand(2, BATCH, 3, side, side).unbind()
        sides = {
            "authors": _authors_step(encoder, teacher, first, second),
            "same maths, fp32": _our_step(encoder, teacher, first, second, "fp32"),
            "same maths, bf16": _our_step(encoder, teacher, first, second, "bf16"),
            "no contrastive term, fp32": _our_step(encoder, teacher, first, None, "fp32"),
            "no contrastive term, bf16": _our_step(encoder, teacher, first, None, "bf16"),
        }
        seconds = _alternate(sides, rounds)
    finally:
        torch.set_num_threads(threads)
    wanted = {"same maths, fp32": 2.0, "no contrastive term, fp32": 4.0, "same maths, bf16": None}
    return [
        Ratio(
            name=name,
            plain_s=seconds["authors"],
            ours_s=seconds[name],
            wanted=wanted.get(name, 4.0),
            detail=f"{encoder}, batch {BATCH}, one thread",
        )
        for name in sides
        if name != "authors"
    ]


def _alternate(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median process seconds of each, after one round that is thrown away."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, step in sides.items():
            start = time.process_time()
            step()
            taken[name].append(time.process_time() - start)
    return {name: sorted(values[1:])[(len(values) - 1) // 2] for name, values in taken.items()}


def _our_step(
    name: str, teacher: Encoder, first: Tensor, second: Tensor | None, precision: str
) -> Callable[[], None]:
    taps = list(teacher.spec.taps)
    weights = Loss(
        clone=1, attention=1, contrastive=0 if second is None else 1, attention_over="mean"
    )
    student = Student(
        encoder_registry.build(name), taps, second is not None, second is not None
    ).train()
    frozen = copy.deepcopy(teacher).requires_grad_(False).eval()
    for encoder in (student.encoder, frozen):
        channels_last_where_it_pays(encoder)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3, fused=True)
    pair = Pair(teacher=first, student=first, second=second)
    compute = Compute("cpu", "bf16" if precision == "bf16" else "fp32", 1)

    def step() -> None:
        answer = ask(frozen, pair.teacher, taps, compute)
        terms = step_loss(
            student, answer, pair, dict.fromkeys(taps, 3500.0), weights, compute, ProcessGroup()
        )
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()

    return step


def _authors_step(name: str, teacher: Encoder, first: Tensor, second: Tensor) -> Callable[[], None]:
    taps = list(teacher.spec.taps)
    student = Student(encoder_registry.build(name), taps, True, False).train()
    suspect = copy.deepcopy(teacher).requires_grad_(True).eval()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    assert student.projector is not None
    projector = student.projector

    def step() -> None:
        features = student.encoder(first)
        other = student.encoder(second)
        out = torch.cat(
            [F.normalize(projector(features), dim=1), F.normalize(projector(other), dim=1)]
        )
        similar = torch.exp(out @ out.T / 0.5)
        mask = ~torch.eye(2 * BATCH, dtype=torch.bool)
        rest = similar.masked_select(mask).view(2 * BATCH, -1).sum(dim=1)
        positive = torch.exp((out[:BATCH] * out[BATCH:]).sum(dim=1) / 0.5)
        contrastive = -torch.log(torch.cat([positive, positive]) / rest).mean()
        clone = -(F.normalize(features, dim=1) * F.normalize(suspect(first), dim=1)).sum(1).mean()
        _, teacher_maps = suspect(first, taps=taps)
        _, student_maps = student.encoder(first, taps=taps)
        distance = sum(
            (3500.0 * (attention(s) - attention(t.detach())).square().mean())
            for s, t in zip(student_maps, teacher_maps, strict=True)
        )
        optimiser.zero_grad()
        (contrastive + clone + distance).backward()
        optimiser.step()

    return step
