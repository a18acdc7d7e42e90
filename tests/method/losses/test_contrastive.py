import pytest
import torch
from torch.nn import functional as F

from mimic_ray.method.losses.contrastive import contrastive_loss


def restated(first, second, temperature):
    """SimCLR's equation 1, view by view."""
    views = F.normalize(torch.cat([first, second]), dim=1)
    count, losses = len(first), []
    for i in range(2 * count):
        scores = torch.exp(views @ views[i] / temperature)
        denominator = scores.sum() - scores[i]
        losses.append(-torch.log(scores[(i + count) % (2 * count)] / denominator))
    return torch.stack(losses).mean()


def test_it_is_the_published_formula():
    first, second = torch.randn(2, 7, 12).unbind()
    expected = restated(first, second, 0.5).item()
    assert contrastive_loss(first, second, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_a_small_temperature_does_not_overflow():
    first = torch.randn(4, 8)
    assert torch.isfinite(contrastive_loss(first, first, 1e-4))


def test_two_workers_average_to_the_loss_of_the_whole_batch():
    first, second = torch.randn(2, 8, 12).unbind()
    whole = contrastive_loss(first, second, 0.5)
    parts = [
        contrastive_loss(first[rows], second[rows], 0.5, (first, second), rows.start)
        for rows in (slice(0, 4), slice(4, 8))
    ]
    assert torch.stack(parts).mean().item() == pytest.approx(whole.item(), rel=1e-5)
