"""Channel statistics of published training sets, as (mean, std) of R, G, B in [0, 1].

They belong to the encoder, which expects the statistics of its training data for all images.
"""

from __future__ import annotations

from typing import NamedTuple

Rgb = tuple[float, float, float]


class Normalisation(NamedTuple):
    mean: Rgb
    std: Rgb


NONE = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# As published with BadEncoder and MIMIC; other sources give a std of about 0.247.
CIFAR10 = Normalisation((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
# The standard deviation over all pixels, as in solo-learn.
CIFAR10_EXACT = Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
# Of the 50,000 images of the training set; used by most published trainings on CIFAR-100.
CIFAR100 = Normalisation((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
# As published with BadEncoder, for its encoder that was trained on STL-10.
STL10 = Normalisation((0.44087798, 0.42790666, 0.38678814), (0.25507198, 0.24801506, 0.25641308))
SVHN = Normalisation((0.4376821, 0.4437697, 0.47280442), (0.19803012, 0.20101562, 0.19703614))
CLIP = Normalisation((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
# Of Google's transformers (augreg) and SigLIP: values in [-1, 1].
HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

# In the order in which encoders that differ only in them are shown: the common ones first.
NORMALISATIONS = {
    "imagenet": IMAGENET,
    "clip": CLIP,
    "cifar10": CIFAR10,
    "cifar10_exact": CIFAR10_EXACT,
    "cifar100": CIFAR100,
    "stl10": STL10,
    "svhn": SVHN,
    "none": NONE,
    "half": HALF,
}


def name_of(mean: Rgb, std: Rgb) -> str:
    """The name of these statistics, "" for others."""
    for name, known in NORMALISATIONS.items():
        if known == (tuple(mean), tuple(std)):
            return name
    return ""
