"""Device, precision and threads of a run: chosen once, and recorded with the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import torch

from mimic_ray.base.errors import ResourceError, UsageError, option
from mimic_ray.base.precision import Precision
from mimic_ray.base.text import count, plain

P = ParamSpec("P")
R = TypeVar("R")

_KINDS = {"cpu", "cuda", "mps"}
_MOST_THREADS = 1024


@dataclass(frozen=True)
class Compute:
    """Where and how a run computes. On one CPU process, equal values give equal bits."""

    device: str
    precision: Literal["fp32", "bf16"]
    threads: int

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def autocast(self) -> torch.autocast:
        """The context in which encoders run. Losses are computed outside it, in float32."""
        return torch.autocast(
            self.torch_device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        )

    def facts(self) -> dict[str, Any]:
        """Everything that must be equal for a resumed run to end with the same bits."""
        return {
            **asdict(self),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
        }


def choose(device: str = "auto", precision: Precision = "auto", threads: int = 0) -> Compute:
    """The compute for this process. `threads` 0 keeps torch's default.

    Raises UsageError for an invalid device name or number of threads, ResourceError if the device
    does not exist here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.partition(":")[0] not in _KINDS or not _is_device(device):
        raise UsageError(
            f'Invalid device "{plain(device)}": set {option("device")} to auto, cpu or cuda:0.'
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ResourceError(
            f"This machine has no CUDA device for {option('device', device)}: use "
            f"{option('device', 'cpu')}."
        )
    if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
        raise ResourceError(
            f"There is no {device}: this machine has "
            f"{count(torch.cuda.device_count(), 'CUDA device')}, counted from cuda:0."
        )
    if not 0 <= threads <= _MOST_THREADS:
        raise UsageError(
            f"Invalid number of threads for {option('threads', threads)}: use a number from 0 to "
            f"{_MOST_THREADS}."
        )
    if threads:
        torch.set_num_threads(threads)
    if precision == "auto":
        precision = "bf16" if _has_fast_bf16(device) else "fp32"
    return Compute(device, precision, torch.get_num_threads())


def restores_threads(function: Callable[P, R]) -> Callable[P, R]:
    """The function, after which torch has as many CPU threads as before: `choose` may set fewer,
    and a caller in Python goes on with other work."""

    @wraps(function)
    def restoring(*args: P.args, **kwargs: P.kwargs) -> R:
        before = torch.get_num_threads()
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_num_threads(before)

    return restoring


def _is_device(name: str) -> bool:
    try:
        torch.device(name)
    except RuntimeError:
        return False
    return True


def _has_fast_bf16(device: str) -> bool:
    """Whether the hardware computes in bf16; emulated, it is slower than fp32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
