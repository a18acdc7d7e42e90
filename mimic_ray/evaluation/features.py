"""Features of a frozen encoder: computed once, so that heads train on a matrix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder

_BATCH = 250


def features(
    encoder: Encoder,
    images: DecodedImages,
    compute: Compute,
    *,
    change: Callable[[Tensor], Tensor] = lambda pixels: pixels,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """The feature of every image, float32 [N, D] of length 1 on the CPU; encoder in eval mode.

    `change` sees the pixels (uint8 [B, 3, S, S], at the encoder's input size) first: a trigger is
    pasted there, before normalisation. Raises DataError when the encoder gives NaN or infinity.
    """
    device = compute.torch_device
    encoder = encoder.to(device).to(memory_format=torch.channels_last).eval()
    found = []
    with torch.inference_mode(), compute.autocast():
        for chosen in torch.arange(len(images)).split(_BATCH):
            pixels = to_float(change(images.gather(chosen)).to(device))
            feature = encoder(pixels.contiguous(memory_format=torch.channels_last))
            found.append(F.normalize(feature.float(), dim=1).cpu())
            on_progress(int(chosen[-1]) + 1, len(images))
    matrix = torch.cat(found)
    if not matrix.isfinite().all():
        raise DataError(f"{encoder.spec.name} gives features that are not finite on these images.")
    # Outside of inference mode, so that heads may keep it for their backward.
    return matrix.clone()
