"""Depthwise convolutions under autocast: in float32 on a CPU, everything else as before."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mimic_ray.encoders.depthwise import keep_in_float32
from mimic_ray.encoders.encoder_registry import build


def network() -> nn.Sequential:
    torch.manual_seed(0)
    pointwise, depthwise = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8)
    return nn.Sequential(pointwise, depthwise, nn.Conv2d(8, 4, 1))


def dtypes(net: nn.Module, images: Tensor) -> list[torch.dtype]:
    """Of what each convolution returns."""
    found: list[torch.dtype] = []
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    hooks = [m.register_forward_hook(lambda *a: found.append(a[2].dtype)) for m in convolutions]
    net(images)
    for hook in hooks:
        hook.remove()
    return found


def test_only_depthwise_convolutions_leave_autocast():
    net, images = network(), torch.rand(2, 3, 8, 8)
    keep_in_float32(net)
    keep_in_float32(net)  # a second call registers nothing
    assert len(net[1]._forward_pre_hooks) == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert dtypes(net, images) == [torch.bfloat16, torch.float32, torch.bfloat16]
        assert torch.is_autocast_enabled("cpu")
    assert dtypes(net, images) == [torch.float32] * 3
    assert not torch.is_autocast_enabled("cpu")


def test_without_autocast_the_bits_are_those_of_the_plain_network():
    net, images = network(), torch.rand(2, 3, 8, 8)
    plain = net(images)
    keep_in_float32(net)
    assert torch.equal(net(images), plain)


def test_a_copy_has_weights_of_its_own():
    net = network()
    keep_in_float32(net)
    other = copy.deepcopy(net)
    nn.init.zeros_(other[1].weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(net(torch.ones(1, 3, 8, 8)), other(torch.ones(1, 3, 8, 8)))


def test_activations_that_are_recomputed_have_the_same_type():
    net, images = network(), torch.rand(2, 3, 8, 8, requires_grad=True)
    keep_in_float32(net)
    with torch.autocast("cpu", torch.bfloat16):
        found = checkpoint(net, images, use_reentrant=False)
    found.float().sum().backward()
    assert images.grad is not None


def test_autocast_is_on_again_after_an_error():
    net = network()
    keep_in_float32(net)
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError, match="channels"):
            net[1](torch.rand(1, 5, 8, 8))
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("name", "some"), [("efficientnet_b0", True), ("cifar_resnet20", False)])
def test_encoders_keep_their_depthwise_convolutions(name, some):
    encoder = build(name)
    assert any(module._forward_pre_hooks for module in encoder.net.modules()) == some
