"""The training step: the authors', restated from their formulas, against ours.

Theirs (wssun/MIMIC): student on both views, teacher on view 1 with gradients on, then both networks
again layer by layer for their maps, and backward through the teacher as well: 13 times the work of
one forward. Ours: one forward of each network, which also gives the maps. CPU time, one thread.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.ratio import Ratio, measure, one_thread, parser, show
from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.losses.attention import attention
from mimic_ray.method.losses.weighted_terms import weighted_terms
from mimic_ray.method.recipe_tables import Loss
from mimic_ray.method.step import step_loss
from mimic_ray.method.student import Student, channels_last_where_it_pays
from mimic_ray.method.student_teacher_views import Pair
from mimic_ray.method.teacher import teacher_forward

_TEMPERATURE = 0.5
_ATTENTION_WEIGHT = 3500.0  # of each tap, in the authors' code
# Faster variants of ours, and the least speed-up promised for each.
_TARGETS = {
    "same maths, fp32": 2.0,
    "same maths, bf16": None,
    "no contrastive term, fp32": 4.0,
    "no contrastive term, bf16": 4.0,
}


def benchmark(encoder: str = "cifar_resnet20", batch: int = 128, rounds: int = 5) -> list[Ratio]:
    """Seconds per step: the same maths, without the contrastive term, and each in bf16."""
    torch.manual_seed(0)
    teacher = encoder_registry.build(encoder)
    side = teacher.spec.input_size
    first, second = torch.rand(2, batch, 3, side, side).unbind()
    sides = {
        "authors": _authors_step(encoder, teacher, first, second),
        "same maths, fp32": _our_step(encoder, teacher, first, second, "fp32"),
        "same maths, bf16": _our_step(encoder, teacher, first, second, "bf16"),
        "no contrastive term, fp32": _our_step(encoder, teacher, first, None, "fp32"),
        "no contrastive term, bf16": _our_step(encoder, teacher, first, None, "bf16"),
    }
    with one_thread():
        taken = measure(sides, rounds=rounds)
    detail = f"{encoder}, batch {batch}, one thread"
    return [
        Ratio(name, taken["authors"], taken[name], target, detail)
        for name, target in _TARGETS.items()
    ]


def _our_step(
    name: str, teacher: Encoder, first: Tensor, second: Tensor | None, precision: str
) -> Callable[[], None]:
    taps = list(teacher.spec.taps)
    attention = {"weight": 1, "over": "mean"}
    terms = weighted_terms(
        Loss.model_validate({"attention": attention, "contrastive": 0 if second is None else 1})
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
    tap_weights = dict.fromkeys(taps, _ATTENTION_WEIGHT)

    def step() -> None:
        output = teacher_forward(frozen, pair.teacher, taps, compute)
        values = step_loss(student, output, pair, tap_weights, terms, compute, ProcessGroup())
        optimiser.zero_grad()
        values["loss"].backward()
        optimiser.step()

    return step


def _authors_step(name: str, teacher: Encoder, first: Tensor, second: Tensor) -> Callable[[], None]:
    taps = list(teacher.spec.taps)
    student = Student(encoder_registry.build(name), taps, True, False).train()
    suspect = copy.deepcopy(teacher).requires_grad_(True).eval()
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-3)
    assert student.projector is not None
    projector, batch = student.projector, len(first)

    def step() -> None:
        features = student.encoder(first)
        other = student.encoder(second)
        one, two = (F.normalize(projector(each), dim=1) for each in (features, other))
        out = torch.cat([one, two])
        similar = torch.exp(out @ out.T / _TEMPERATURE)
        mask = ~torch.eye(2 * batch, dtype=torch.bool)
        rest = similar.masked_select(mask).view(2 * batch, -1).sum(dim=1)
        positive = torch.exp((one * two).sum(dim=1) / _TEMPERATURE)
        contrastive = -torch.log(torch.cat([positive, positive]) / rest).mean()
        clone = -(F.normalize(features, dim=1) * F.normalize(suspect(first), dim=1)).sum(1).mean()
        _, teacher_maps = suspect(first, taps=taps)
        _, student_maps = student.encoder(first, taps=taps)
        distance = sum(
            _ATTENTION_WEIGHT * (attention(s) - attention(t.detach())).square().mean()
            for s, t in zip(student_maps, teacher_maps, strict=True)
        )
        optimiser.zero_grad()
        (contrastive + clone + distance).backward()
        optimiser.step()

    return step


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--encoder", default="cifar_resnet20")
    options.add_argument("--batch", type=int, default=128)
    options.add_argument(
        "--rounds", type=int, default=5, help="steps of each to take the median of"
    )
    parsed = options.parse_args(arguments)
    show(benchmark(parsed.encoder, parsed.batch, parsed.rounds), as_json=parsed.json)


if __name__ == "__main__":
    main()
