"""Features of a frozen encoder, computed once for all heads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError
from mimic_ray.base.progress import StepCallback
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.forward_batches import forward_batch

_BATCH = 250


def features(
    encoder: Encoder,
    images: DecodedImages,
    compute: Compute,
    *,
    change: Callable[[Tensor], Tensor] = lambda pixels: pixels,
    unit: bool = True,
    on_progress: StepCallback = lambda done, total: None,
) -> Tensor:
    """The features of all images, float32 [N, D], on the CPU, in eval mode.

    They have unit length, or with `unit=False` the length that the encoder gives them.

    `change` is applied to the pixels (uint8 [B, 3, S, S], at the encoder's input size), for example
    to add a trigger before normalisation. Raises DataError if a feature is NaN or infinite.
    """
    device = compute.torch_device
    encoder = encoder.to(device).to(memory_format=torch.channels_last).eval()
    found = []
    with torch.inference_mode(), compute.autocast():
        batch = forward_batch(_BATCH, encoder.spec.input_size, device)
        for chosen in torch.arange(len(images)).split(batch):
            pixels = to_float(change(images.gather(chosen)).to(device))
            feature = encoder(pixels.contiguous(memory_format=torch.channels_last))
            found.append((F.normalize(feature.float(), dim=1) if unit else feature.float()).cpu())
            on_progress(int(chosen[-1]) + 1, len(images))
    matrix = torch.cat(found)
    if not matrix.isfinite().all():
        raise DataError(f"The features of {encoder.spec.name} on these images are not finite.")
    # Cloned outside inference mode, so that heads can use it in their backward pass.
    return matrix.clone()
