"""The teacher's outputs for fixed views, computed once for a run or for all trials of a search.

With `views.fixed = K` each image has K views, which repeat every K epochs. The cache holds the
feature of each view and one attention map for each tap. It does not hold the tap maps themselves:
the attention term reads only the attention maps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.progress import StepCallback
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.forward_batches import forward_batch
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.student_teacher_views import view
from mimic_ray.method.teacher import teacher_forward, view_keys
from mimic_ray.method.teacher_output import TeacherOutput

_BATCH = 128


@dataclass(frozen=True)
class TeacherCache:
    """Outputs for K fixed views of N images, as numpy arrays that processes can share."""

    key: str  # from teacher_cache_key: identifies the views
    features: NDArray[np.float32]  # [K, N, D]
    attention: Mapping[str, NDArray[np.float16]]  # tap -> [K, N, H, W]

    def read(
        self, epoch: int, indices: Tensor, taps: Sequence[str], device: torch.device
    ) -> TeacherOutput:
        """The outputs for this epoch's views of the images."""
        turn, rows = epoch % len(self.features), indices.cpu().numpy()
        # Fancy indexing copies, so no caller can write into shared memory.
        return TeacherOutput(
            torch.from_numpy(self.features[turn][rows]).to(device),
            [torch.from_numpy(self.attention[t][turn][rows]).to(device).float() for t in taps],
        )


def teacher_cache_key(recipe: Recipe, images: str, encoder: str) -> str:
    """Equal for recipes that show the teacher the same views of the same images.

    `images` and `encoder` identify the image set and the teacher's weights.
    """
    views = recipe.views
    parts = [images, encoder, recipe.training.seed, views.fixed, views.kind, views.shift]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def teacher_cache_bytes(recipe: Recipe, images: int, width: int, positions: int) -> int:
    """Size of a cache; `positions` is the sum of H * W over its taps."""
    return recipe.views.fixed * images * (4 * width + 2 * positions)


def fill_teacher_cache(
    teacher: Encoder,
    images: DecodedImages,
    recipe: Recipe,
    taps: Sequence[str],
    compute: Compute,
    key: str,
    on_progress: StepCallback = lambda done, total: None,
) -> TeacherCache:
    """Runs the teacher once for each fixed view of each image.

    Raises ValueError for a recipe without fixed views, or with symmetric views, where the teacher
    sees the perturbed image and nothing repeats.
    """
    if not recipe.views.fixed or not recipe.views.asymmetric:
        raise ValueError("the teacher's outputs repeat only for fixed, asymmetric views")
    teacher = teacher.to(compute.torch_device).eval()
    count, side, turns = len(images), teacher.spec.input_size, recipe.views.fixed
    features = np.empty((turns, count, teacher.spec.feature_width), np.float32)
    maps: dict[str, NDArray[np.float16]] = {}
    batch = forward_batch(_BATCH, side, compute.torch_device)
    for turn in range(turns):
        for rows in torch.arange(count).split(batch):
            on_progress(turn * count + int(rows[0]), turns * count)
            pixels = images.gather(rows).to(compute.torch_device)
            keys = seeds.keys(view_keys(recipe, turn, rows).to(compute.torch_device), "view", 1)
            output = teacher_forward(teacher, view(pixels, keys, recipe, side), taps, compute)
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            features[turn, part] = output.features.float().cpu().numpy()
            for tap, attention in zip(taps, output.attention, strict=True):
                if tap not in maps:
                    maps[tap] = np.empty((turns, count, *attention.shape[1:]), np.float16)
                # Values lie in [0, 1]: float16 keeps three digits of the larger ones.
                maps[tap][turn, part] = attention.half().cpu().numpy()
    on_progress(turns * count, turns * count)
    return TeacherCache(key, features, maps)
