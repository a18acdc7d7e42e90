"""Counter-based random numbers: a function of their purpose, independent of the process.

Every random number of a run comes from a key of (seed, purpose, epoch, image, view ...), so an
image gets the same crop on one worker or eight, in a first run or a resumed one.

`keys` mixes integers into one 64-bit key per image; `uniform` turns keys into numbers. Both use the
finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) in wrapping int64 arithmetic, which gives
the same bits on every torch device.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed number
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def _shift(bits: Tensor, count: int) -> Tensor:
    """Logical shift to the right; torch's own is arithmetic."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _scramble(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 30)) * _MIX_1
    bits = (bits ^ _shift(bits, 27)) * _MIX_2
    return bits ^ _shift(bits, 31)


def keys(seed: int | Tensor, *parts: int | str | Tensor) -> Tensor:
    """One int64 key per element of the broadcast parts; shape [] if all parts are plain numbers.

    A string part names a purpose: `keys(seed, "crop", epoch, image_indices)`.
    """
    device = next((p.device for p in (seed, *parts) if isinstance(p, Tensor)), None)
    key = torch.as_tensor(seed, dtype=torch.int64, device=device)
    for part in parts:
        if isinstance(part, str):
            part = zlib.crc32(part.encode())
        number = torch.as_tensor(part, dtype=torch.int64, device=device)
        # Scramble at each part, because (1, 2) and (2, 1) must differ.
        key = _scramble((key + _GOLDEN) ^ _scramble(number + _GOLDEN))
    return key


def uniform(key: Tensor, count: int) -> Tensor:
    """float32 numbers in [0, 1): keys [B] -> [B, count], the same bits on every device."""
    offsets = torch.arange(1, count + 1, dtype=torch.int64, device=key.device) * _GOLDEN
    bits = _scramble(key.unsqueeze(-1) + offsets)
    # A float32 holds 24 bits exactly.
    return _shift(bits, 40).to(torch.float32) * (1.0 / (1 << 24))


def between(key: Tensor, low: float, high: float) -> Tensor:
    """float32 numbers in [low, high): keys [B] -> [B]. One draw per key; derive keys for more."""
    return low + (high - low) * uniform(key, 1).squeeze(-1)


def normal(key: Tensor, count: int) -> Tensor:
    """Standard normal numbers, keys [B] -> [B, count], by Box-Muller."""
    radius, angle = uniform(key, 2 * count).split(count, dim=-1)
    # 1 - u is in (0, 1], so the logarithm is finite.
    return torch.sqrt(-2.0 * torch.log1p(-radius)) * torch.cos(2.0 * torch.pi * angle)


def generator(seed: int, *parts: int | str) -> torch.Generator:
    """A torch generator on the CPU for one named purpose."""
    made = torch.Generator(device="cpu")
    made.manual_seed(int(keys(seed, *parts)))
    return made


@contextmanager
def torch_seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seeds torch's global generators, which layers and dropout use, and restores them afterwards.

    Without `device` that of a GPU is seeded too, but not restored.
    """
    with torch.random.fork_rng(devices=[device] if device and device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
