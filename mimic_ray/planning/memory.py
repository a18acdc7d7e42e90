"""Memory of one device by part, for each way in which the networks can lie on the devices."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mimic_ray.planning.trace import Trace

STRATEGIES = ("ddp", "fsdp", "fsdp+teacher")


@dataclass(frozen=True)
class Memory:
    """Bytes on one device when a step needs most."""

    strategy: str  # ddp; fsdp: the student in parts; fsdp+teacher: the teacher as well
    parameters: int
    gradients: int
    optimiser: int
    teacher: int
    gathered: int  # whole units of what lies in parts, while they are used
    activations: int
    views: int
    workspace: int

    @property
    def total(self) -> int:
        return sum(v for v in asdict(self).values() if isinstance(v, int))


def memory(traced: Trace, strategy: str, devices: int) -> Memory:
    """Of one of `devices`, each with its own batch of the size that was traced.

    On one device gradients come while activations go, so that their sum is not reached; DDP keeps
    room for all gradients from the start. FSDP holds two units gathered, the second being fetched
    while the first is used, and one unit's gradient before it is shared out.
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
    # What of the gradients is there at the peak.
    rest = whole.total - whole.gradients
    at_peak = max(0, traced.peak_alone - rest)
    return Memory(**{**asdict(whole), "gradients": at_peak})
