"""What the teacher says of an image: asked anew each step, or read from what it said before.

With `views.fixed = K` an image has K views that come again epoch after epoch. The teacher's
answers to them are then computed once (`record`), for a run or for all trials of a search: a
feature and, for each tap, where the teacher looks. Maps themselves are not kept, since the
attention term reads no more of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.losses.attention import attention
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.student_teacher_views import view

_BATCH = 128


class Answer(NamedTuple):
    """Features [B, D]; of each tap where the teacher looks, [B, H, W], each of length 1."""

    features: Tensor
    attention: list[Tensor]


class Gatherer(Protocol):
    """Decoded images: int64 [B] -> uint8 [B, 3, P, P]."""

    def __len__(self) -> int: ...
    def gather(self, indices: Tensor) -> Tensor: ...


@torch.no_grad()  # not inference_mode: tensors of the latter cannot enter a loss
def ask(
    teacher: Callable[..., Any], views: Tensor, taps: Sequence[str], compute: Compute
) -> Answer:
    """One forward of the teacher on views [B, 3, S, S]."""
    with compute.autocast():
        features, maps = teacher(views, taps=list(taps))
    return Answer(features, [attention(tap_map) for tap_map in maps])


def view_keys(recipe: Recipe, epoch: int, indices: Tensor) -> Tensor:
    """The key of each image's view in an epoch: [B]. Fixed views come again in turn."""
    turn = epoch % recipe.views.fixed if recipe.views.fixed else epoch
    return seeds.keys(recipe.training.seed, "step", turn, indices)


@dataclass(frozen=True)
class Recording:
    """The teacher's answers to all fixed views. Plain arrays, so that processes share them."""

    key: str  # of everything that decides which views these are
    features: NDArray[np.float32]  # [K, N, D]
    attention: Mapping[str, NDArray[np.float16]]  # of each tap [K, N, H, W]

    def read(
        self, epoch: int, indices: Tensor, taps: Sequence[str], device: torch.device
    ) -> Answer:
        """The answers of this epoch's views of the images."""
        turn, rows = epoch % len(self.features), indices.cpu().numpy()
        # Fancy indexing copies, so nobody can write into what other processes read.
        return Answer(
            torch.from_numpy(self.features[turn][rows]).to(device),
            [torch.from_numpy(self.attention[t][turn][rows]).to(device).float() for t in taps],
        )


def recording_key(recipe: Recipe, images: str, encoder: str) -> str:
    """Equal for recipes whose teacher sees the same views of the same images.

    `images` and `encoder` identify the set and the teacher's weights.
    """
    views = recipe.views
    parts = [images, encoder, recipe.training.seed, views.fixed, views.kind, views.shift]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def recording_bytes(recipe: Recipe, images: int, width: int, positions: Mapping[str, int]) -> int:
    """Size of a recording; `positions` is H * W of each tap that is kept."""
    return recipe.views.fixed * images * (4 * width + 2 * sum(positions.values()))


def record(
    teacher: Encoder,
    images: Gatherer,
    recipe: Recipe,
    taps: Sequence[str],
    compute: Compute,
    key: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recording:
    """One teacher forward for each fixed view of each image, in no training step.

    Symmetric views cannot be recorded: there the teacher sees the perturbed image.
    """
    if not recipe.views.fixed or not recipe.views.asymmetric:
        raise ValueError("only fixed, asymmetric views can be recorded")
    teacher = teacher.to(compute.torch_device).eval()
    count, side, turns = len(images), teacher.spec.input_size, recipe.views.fixed
    features = np.empty((turns, count, teacher.spec.feature_width), np.float32)
    kept: dict[str, NDArray[np.float16]] = {}
    for turn in range(turns):
        for rows in torch.arange(count).split(_BATCH):
            progress(turn * count + int(rows[0]), turns * count)
            pixels = images.gather(rows).to(compute.torch_device)
            keys = seeds.keys(view_keys(recipe, turn, rows).to(compute.torch_device), "view", 1)
            answer = ask(teacher, view(pixels, keys, recipe, side), taps, compute)
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            features[turn, part] = answer.features.float().cpu().numpy()
            for tap, where in zip(taps, answer.attention, strict=True):
                if tap not in kept:
                    kept[tap] = np.empty((turns, count, *where.shape[1:]), np.float16)
                # Entries lie in [0, 1]: half precision keeps three digits of the larger ones.
                kept[tap][turn, part] = where.half().cpu().numpy()
    progress(turns * count, turns * count)
    return Recording(key, features, kept)
