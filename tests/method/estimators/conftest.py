import math

import pytest
import torch


@pytest.fixture
def correlated():
    """Pairs of Gaussian vectors of `width` numbers with the given mutual information in nats."""

    def draw(information: float, width: int, count: int = 2000, seed: int = 0):
        rho = math.sqrt(1 - math.exp(-2 * information / width))
        generator = torch.Generator().manual_seed(seed)
        x, noise = torch.randn(2, count, width, generator=generator).unbind()
        return x, rho * x + math.sqrt(1 - rho**2) * noise

    return draw
