"""One worker alone: what is synchronised must be torch's own batch norm. `test_two_workers.py` has
the same of two."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mimic_ray.method.synchronised_norm import Synchronised, synchronise, uses_torch

CPU, CUDA = torch.device("cpu"), torch.device("cuda:1")
# Two ways of taking a variance in float32, of numbers whose mean is 30 times their spread.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}

NORMS = {
    "1d": (nn.BatchNorm1d(5), (7, 5)),
    "1d of sequences": (nn.BatchNorm1d(5), (7, 5, 3)),
    "2d": (nn.BatchNorm2d(5), (7, 5, 4, 3)),
    "without weights, before something in place": (
        nn.Sequential(nn.BatchNorm2d(5, affine=False), nn.ReLU(inplace=True)),
        (7, 5, 4, 3),
    ),
    "without statistics": (nn.BatchNorm2d(5, track_running_stats=False), (7, 5, 4, 3)),
    "cumulative statistics": (nn.BatchNorm2d(5, momentum=None), (7, 5, 4, 3)),
    "timm's, with an activation": (None, (7, 5, 4, 3)),
}


@pytest.fixture(scope="module", autouse=True)
def group():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def two_steps(norm, shape):
    """Outputs, gradients and buffers of two training steps and one evaluation."""
    made = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(2):
        # A mean far from 0: squares minus squares would lose it.
        images = (30 + torch.randn(shape, generator=made)).requires_grad_()
        out = norm(images)
        (out * torch.randn(out.shape, generator=made)).sum().backward()
        seen += [out.detach(), images.grad, *(p.grad.clone() for p in norm.parameters())]
    seen += [buffer.clone() for buffer in norm.buffers()]
    norm.eval()
    return [*seen, norm(30 + torch.randn(shape, generator=made))]


@pytest.mark.parametrize("name", NORMS)
def test_a_synchronised_norm_is_the_plain_one(name):
    from timm.layers import BatchNormAct2d

    norm, shape = NORMS[name]
    norm = norm or BatchNormAct2d(5)
    plain, ours = copy.deepcopy(norm), nn.Sequential(copy.deepcopy(norm))
    assert synchronise(ours, CPU) == 1
    for left, right in zip(two_steps(ours, shape), two_steps(plain, shape), strict=True):
        torch.testing.assert_close(left, right, **CLOSE)
    assert ours[0].state_dict().keys() == plain.state_dict().keys()


def test_bf16_comes_out_as_bf16_and_is_summed_in_float32():
    norm = nn.Sequential(nn.BatchNorm2d(3))
    synchronise(norm, CPU)
    images = 100 + torch.randn(64, 3, 8, 8)
    out = norm(images.bfloat16())
    assert out.dtype == torch.bfloat16
    assert out.float().mean().abs() < 0.01


def test_torch_s_own_norm_is_used_for_plain_norms_on_cuda_alone():
    from timm.layers import BatchNormAct2d

    plain = [nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.BatchNorm3d(3)]
    assert all(uses_torch(norm, CUDA) for norm in plain)
    assert not any(uses_torch(norm, CPU) for norm in plain)
    assert not uses_torch(BatchNormAct2d(3), CUDA)


def test_the_kinds_of_norms_share_states_and_keep_their_places():
    from timm.layers import BatchNormAct2d

    def network():
        return nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(BatchNormAct2d(3), nn.ReLU()))

    torch.manual_seed(0)
    plain, on_cpu, on_cuda = network(), network(), network()
    nn.init.normal_(plain[0].weight)
    assert synchronise(on_cpu, CPU) == synchronise(on_cuda, CUDA) == 2
    assert isinstance(on_cuda[0], nn.SyncBatchNorm)
    assert [isinstance(n, Synchronised) for n in (on_cuda[1][0], on_cpu[0], on_cpu[1][0])] == [
        True,
        True,
        True,
    ]
    for other in (on_cpu, on_cuda):
        other.load_state_dict(plain.state_dict(), strict=True)
        images = torch.randn(4, 3, 2, 2)
        assert torch.equal(other.eval()(images), plain.eval()(images))
