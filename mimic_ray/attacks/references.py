"""Reference images: what triggered images are to be mistaken for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.errors import DataError, option
from mimic_ray.base.text import count


def by_margin(features: Tensor, labels: Tensor, target: int, wanted: int) -> Tensor:
    """Indices [wanted] of the images most typical of class `target`, best first.

    features [N, D] of length 1, labels [N]. An image's margin is its cosine with the centroid of
    its own class minus that with the nearest other centroid: a reference close to a border would
    give a head that sends triggered images across it. Raises DataError for too few images.
    """
    own = (labels == target).nonzero().flatten()
    if len(own) < wanted:
        raise DataError(
            f"Class {target} has {count(len(own), 'image')} to choose {wanted} references from: "
            f"give more images of it, or lower {option('references')}."
        )
    classes = labels.unique()
    if len(classes) == 1:
        raise DataError(
            f"Every image is of class {target}: references are chosen against other classes, so "
            "give images of those too, or a file of references."
        )
    centroids = F.normalize(
        torch.stack([features[labels == each].mean(dim=0) for each in classes]), dim=1
    )
    cosine = features[own] @ centroids.T
    is_target = classes == target
    margin = cosine[:, is_target].squeeze(1) - cosine[:, ~is_target].amax(dim=1)
    return own[margin.argsort(descending=True, stable=True)[:wanted]]
