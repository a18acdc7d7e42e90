"""Which device, precision and memory format a run uses, decided once and recorded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from mimic_ray.base.errors import ResourceError, UsageError
from mimic_ray.base.text import count, plain

Precision = Literal["auto", "fp32", "bf16"]
_KINDS = {"cpu", "cuda", "mps"}


@dataclass(frozen=True)
class Compute:
    """Where and how the maths runs. On one CPU process, equal values give equal bits."""

    device: str
    precision: Literal["fp32", "bf16"]
    threads: int

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def autocast(self) -> torch.autocast:
        """The context in which encoders run; losses are computed outside of it, in float32."""
        return torch.autocast(
            self.torch_device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        )

    def facts(self) -> dict[str, Any]:
        """What must agree for a resumed run to end with the same bits."""
        return {
            **asdict(self),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
        }


def choose(device: str = "auto", precision: Precision = "auto", threads: int = 0) -> Compute:
    """The compute for this process. `threads` 0 keeps torch's own choice.

    Raises UsageError for a name that is no device, ResourceError when the device is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.partition(":")[0] not in _KINDS or not _is_device(device):
        raise UsageError(f'There is no device "{plain(device)}": --device is auto, cpu or cuda:0.')
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ResourceError(f'No CUDA device here for "--device {device}": use --device cpu.')
    if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
        raise ResourceError(
            f"There is no {device}, only {count(torch.cuda.device_count(), 'CUDA device')}: name "
            "one of them, from cuda:0 on."
        )
    if threads:
        torch.set_num_threads(threads)
    if precision == "auto":
        precision = "bf16" if _bf16_pays(device) else "fp32"
    return Compute(device, precision, torch.get_num_threads())


def _is_device(name: str) -> bool:
    try:
        torch.device(name)
    except RuntimeError:
        return False
    return True


def _bf16_pays(device: str) -> bool:
    """bf16 without hardware for it is slower than fp32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
