import copy

import pytest
import torch
from torch import nn

from mimic_ray.method.batch_norm import batch_norms, read_statistics, repeat_update


def network(momentum):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=momentum), nn.Flatten(), nn.LazyLinear(5),
        nn.BatchNorm1d(5, momentum=momentum), nn.BatchNorm1d(5, track_running_stats=False),
    ).train()  # fmt: skip


@pytest.mark.parametrize("momentum", [0.1, 0.4])
def test_a_repeated_update_is_that_of_another_forward_of_the_same_batch(momentum):
    first, second = torch.randn(2, 8, 3, 6, 6)
    ours = network(momentum)
    ours(first)  # creates the lazy layer
    theirs = copy.deepcopy(ours)
    for images in (first, second, first):
        theirs(images)

    norms = batch_norms(ours)
    before = read_statistics(norms)
    ours(first)
    after = read_statistics(norms)
    ours(second)
    repeat_update(norms, before, after)
    for (name, expected), found in zip(theirs.named_buffers(), ours.buffers(), strict=True):
        torch.testing.assert_close(found, expected, msg=lambda text, name=name: f"{name}: {text}")


def test_norms_without_statistics_are_left_out():
    assert len(batch_norms(network(0.1))) == 2


def test_statistics_are_copies():
    model = network(0.1)
    model(torch.randn(8, 3, 6, 6))
    norms = batch_norms(model)
    before = read_statistics(norms)
    model(torch.randn(8, 3, 6, 6))
    assert not torch.equal(before[0][0], norms[0].running_mean)


def test_an_update_may_come_between_forward_and_backward():
    model = network(0.1)
    model(torch.randn(8, 3, 6, 6))
    norms = batch_norms(model)
    before = read_statistics(norms)
    output = model(torch.randn(8, 3, 6, 6))
    repeat_update(norms, before, read_statistics(norms))
    output.sum().backward()
    assert model[0].weight.grad is not None
