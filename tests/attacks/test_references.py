import pytest
import torch
from torch.nn import functional as F

from mimic_ray.attacks.references import by_margin
from mimic_ray.base.errors import DataError


def test_the_image_deepest_in_its_class_comes_first():
    # Classes along x and y; angles in degrees, class 0 near 0, class 1 near 90.
    angles = torch.tensor([40.0, 5.0, 20.0, 85.0, 95.0])
    features = torch.stack([angles.deg2rad().cos(), angles.deg2rad().sin()], dim=1)
    labels = torch.tensor([0, 0, 0, 1, 1])
    assert by_margin(features, labels, target=0, wanted=3).tolist() == [1, 2, 0]


def test_the_margin_is_to_the_own_centroid_minus_the_best_other():
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(60, 6, generator=generator), dim=1)
    labels = torch.arange(60) % 3
    centroids = [F.normalize(features[labels == c].mean(dim=0), dim=0) for c in range(3)]
    margins = {}
    for i in range(60):
        if labels[i] == 1:
            cosines = [float(features[i] @ centroid) for centroid in centroids]
            margins[i] = cosines[1] - max(cosines[0], cosines[2])
    expected = sorted(margins, key=lambda i: -margins[i])[:5]
    assert by_margin(features, labels, target=1, wanted=5).tolist() == expected


def test_too_few_images_of_the_class_are_said():
    with pytest.raises(DataError, match="Class 1 has 1 image to choose 3 references from"):
        by_margin(torch.eye(3), torch.tensor([0, 0, 1]), target=1, wanted=3)


def test_one_class_alone_has_no_margin():
    with pytest.raises(DataError, match="other classes"):
        by_margin(torch.eye(3), torch.zeros(3, dtype=torch.int64), target=0, wanted=1)
