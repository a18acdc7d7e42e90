"""Channel statistics of published training sets, as (mean, std) of R, G, B in [0, 1].

They belong to the encoder, which expects the statistics of its training data for all images.
"""

from __future__ import annotations

from typing import NamedTuple

Rgb = tuple[float, float, float]


class Normalisation(NamedTuple):
    mean: Rgb
    std: Rgb


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# As published with BadEncoder and MIMIC; other sources give a std of about 0.247.
CIFAR10 = Normalisation((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CLIP = Normalisation((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
