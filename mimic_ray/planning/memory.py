"""Memory of one device by part, for each sharding strategy."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mimic_ray.planning.trace import Trace

STRATEGIES = ("ddp", "fsdp", "fsdp+teacher")


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the peak of a step."""

    strategy: str  # ddp; fsdp: the student is sharded; fsdp+teacher: the teacher too
    parameters: int
    gradients: int
    optimiser: int
    teacher: int
    gathered: int  # unsharded copies of the units in use
    activations: int
    views: int
    workspace: int

    @property
    def total(self) -> int:
        return sum(v for v in asdict(self).values() if isinstance(v, int))


def memory(traced: Trace, strategy: str, devices: int) -> Memory:
    """For one of `devices`, each with a batch of the traced size.

    On one device, gradients are allocated while activations are freed, so the sum of both is not
    reached. DDP allocates all gradients at the start. FSDP has two gathered units, because it
    prefetches the next one, and the gradient of one unit before it is reduced.
    """
    parts = 1 if strategy == "ddp" else devices
    of_teacher = devices if strategy == "fsdp+teacher" else 1
    unit = traced.largest_unit_bytes
    gathered = (3 * unit if parts > 1 else 0) + (2 * unit if of_teacher > 1 else 0)
    whole = Memory(
        strategy=strategy,
        parameters=traced.parameter_bytes // parts,
        gradients=traced.gradients // parts,
        optimiser=2 * traced.gradients // parts,
        teacher=traced.teacher_bytes // of_teacher,
        gathered=gathered,
        activations=traced.activations,
        views=traced.views,
        workspace=traced.workspace,
    )
    if devices > 1:
        return whole
    # The gradients that are allocated at the peak.
    rest = whole.total - whole.gradients
    at_peak = max(0, traced.peak_alone - rest)
    return Memory(**{**asdict(whole), "gradients": at_peak})
