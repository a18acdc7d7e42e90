"""The units that pruning methods switch off, found by structure and by what a forward pass shows.

    a convolution whose output a batch norm reads       one unit a channel
    the two linear layers of a transformer's MLP        one unit a hidden value
    any norm with a scale                               one unit a channel

Pairs are those of the computation, not of the order of modules: the batch norm of a shortcut, or
one before a convolution, would be paired wrongly otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.encoder import Encoder

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class NormedConvolution:
    """A convolution and the batch norm that reads its output."""

    convolution: nn.Conv2d
    norm: _BatchNorm


@dataclass(frozen=True)
class HiddenUnits:
    """The linear layers of an MLP, and the norm that it reads, if there is one with a scale."""

    norm: nn.LayerNorm | None
    first: nn.Linear
    second: nn.Linear


@dataclass(frozen=True)
class Rows:
    """Units that are rows of a parameter: names among the encoder's parameters."""

    weight: str
    bias: str | None
    units: int


def normed_convolutions(encoder: Encoder) -> list[NormedConvolution]:
    """The pairs in the order of the computation. Runs one image through the encoder."""
    read = _Producers(encoder, lambda module: isinstance(module, _BatchNorm)).of
    return [
        NormedConvolution(maker, norm)
        for norm, maker in read
        if isinstance(norm, _BatchNorm) and norm.affine and isinstance(maker, nn.Conv2d)
    ]


def hidden_units(encoder: Encoder) -> list[HiddenUnits]:
    """The MLPs in the order of the computation. Runs one image through the encoder."""
    read = _Producers(encoder, lambda module: _linear_pair(module) is not None).of
    found = []
    for module, maker in read:
        pair = _linear_pair(module)
        assert pair is not None
        scaled = isinstance(maker, nn.LayerNorm) and maker.weight is not None
        found.append(HiddenUnits(maker if scaled else None, *pair))  # type: ignore[arg-type]
    return found


def rows(encoder: Encoder, defence: str) -> list[Rows]:
    """Every unit that a mask can scale: channels of norms and hidden units of MLPs.

    Raises UsageError for an encoder without any.
    """
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    layers: list[nn.Module] = [m for m in encoder.modules() if isinstance(m, _NORMS)]
    layers += [pair[0] for m in encoder.modules() if (pair := _linear_pair(m))]
    found = []
    for layer in layers:
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
        if isinstance(weight, Tensor):
            has_bias = isinstance(bias, Tensor)
            found.append(
                Rows(names[id(weight)], names[id(bias)] if has_bias else None, len(weight))
            )
    if not found:
        raise nothing_to_prune(encoder, defence)
    return found


def nothing_to_prune(encoder: Encoder, defence: str) -> UsageError:
    return UsageError(
        f"{encoder.spec.name} has no norm and no MLP of a transformer whose units {defence} could "
        "prune: leave this defence out."
    )


def scaled_features(
    encoder: Encoder,
    images: Tensor,
    compute: Compute,
    found: Sequence[Rows],
    scales: Sequence[Tensor],
    bias_scales: Sequence[Tensor] | None = None,
) -> Tensor:
    """Features [B, D] with each unit's weight times its scale, and its bias times its own.

    The encoder keeps its parameters; gradients reach the scales.
    """
    own = dict(encoder.named_parameters())
    changed = {}
    for number, each in enumerate(found):
        weight = own[each.weight]
        changed[each.weight] = weight * scales[number].view(-1, *[1] * (weight.ndim - 1))
        if each.bias is not None and bias_scales is not None:
            changed[each.bias] = own[each.bias] * bias_scales[number]
    with compute.autocast():
        features: Tensor = functional_call(encoder, changed, (images,))
    return features.float()


@torch.no_grad()
def prune(encoder: Encoder, found: Sequence[Rows], masks: Sequence[Tensor], below: float) -> int:
    """Sets the weights of units with a mask below the bound to 0, in place; returns how many."""
    own = dict(encoder.named_parameters())
    for each, mask in zip(found, masks, strict=True):
        own[each.weight][mask < below] = 0
    return sum(int((mask < below).sum()) for mask in masks)


def _linear_pair(module: nn.Module) -> tuple[nn.Linear, nn.Linear] | None:
    """The linear layers of an MLP: two children that widen and narrow again."""
    linear = [child for child in module.children() if isinstance(child, nn.Linear)]
    if len(linear) != 2:
        return None
    first, second = linear
    fits = first.out_features == second.in_features and first.in_features == second.out_features
    return (first, second) if fits and first.out_features > first.in_features else None


class _Producers:
    """`of`: each module that `is_wanted`, with the module whose output it reads (None: another)."""

    def __init__(self, encoder: Encoder, is_wanted: Any) -> None:
        self.of: list[tuple[nn.Module, nn.Module | None]] = []
        makers: dict[int, nn.Module] = {}
        kept: list[Tensor] = []  # so that no tensor gets the address of another

        def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if is_wanted(module):
                self.of.append((module, makers.get(id(inputs[0]))))

        def after(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
            # What works in place gives its input back as its output, and is the maker from then on.
            if isinstance(output, Tensor) and not isinstance(module, nn.Identity):
                makers[id(output)] = module
                kept.append(output)

        hooks = [m.register_forward_pre_hook(before) for m in encoder.net.modules()]
        hooks += [
            m.register_forward_hook(after) for m in encoder.net.modules() if not [*m.children()]
        ]
        parameter = next(encoder.parameters())
        side, was_training = encoder.spec.input_size, encoder.training
        try:
            encoder.eval()
            with torch.no_grad():
                encoder(torch.zeros(1, 3, side, side, device=parameter.device))
        finally:
            encoder.train(was_training)
            for hook in hooks:
                hook.remove()
