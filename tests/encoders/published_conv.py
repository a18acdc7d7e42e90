"""Convolutional networks of other publishers, re-stated as functions of their own key names.

`Weights` makes a random tensor for every key that a network reads, so that a forward pass gives
both a file in the publisher's layout and its features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Names = Callable[[str], str]


class Weights(dict[str, Tensor]):
    """A state dict that grows: the same call reads or makes the same tensors."""

    def make(self, key: str, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        if key not in self:
            self[key] = torch.empty(shape).uniform_(low, high)
        return self[key]

    def conv(
        self,
        x: Tensor,
        key: str,
        channels: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = False,
        groups: int = 1,
    ) -> Tensor:
        inside = x.shape[1] // groups
        bound = (3 / (inside * kernel**2)) ** 0.5
        weight = self.make(
            f"{key}.weight", channels, inside, kernel, kernel, low=-bound, high=bound
        )
        offset = self.make(f"{key}.bias", channels) if bias else None
        padding = kernel // 2 if padding is None else padding
        return F.conv2d(x, weight, offset, stride, padding, groups=groups)

    def norm(self, x: Tensor, key: str, epsilon: float = 1e-5) -> Tensor:
        mean = self.make(f"{key}.running_mean", x.shape[1], low=-0.1, high=0.1)
        variance = self.make(f"{key}.running_var", x.shape[1], low=0.5, high=1.5)
        weight = self.make(f"{key}.weight", x.shape[1], low=0.5, high=1.0)
        bias = self.make(f"{key}.bias", x.shape[1], low=-0.1, high=0.1)
        self.setdefault(f"{key}.num_batches_tracked", torch.tensor(7))
        return F.batch_norm(x, mean, variance, weight, bias, eps=epsilon)

    def linear(self, x: Tensor, key: str, width: int) -> Tensor:
        bound = (3 / x.shape[-1]) ** 0.5
        weight = self.make(f"{key}.weight", width, x.shape[-1], low=-bound, high=bound)
        return F.linear(x, weight, self.make(f"{key}.bias", width))

    def layer_norm(self, x: Tensor, key: str) -> Tensor:
        weight = self.make(f"{key}.weight", x.shape[-1], low=0.5, high=1.5)
        return F.layer_norm(x, x.shape[-1:], weight, self.make(f"{key}.bias", x.shape[-1]), 1e-6)


def torchvision(part: str) -> str:
    return part


def kuangliu(part: str) -> str:
    return part.replace("downsample", "shortcut")


def children(first_layer: int) -> Names:
    """nn.Sequential of the children, the first layer at that position."""

    def name(part: str) -> str:
        head, _, rest = part.partition(".")
        numbers = {"conv1": "0", "bn1": "1"}
        number = numbers.get(head) or str(first_layer + int(head.removeprefix("layer")) - 1)
        return f"{number}.{rest}" if rest else number

    return name


def of_lightly(part: str) -> str:
    return kuangliu(children(2)(part))


def hugging_face(part: str) -> str:
    words = part.split(".")
    if len(words) == 1:
        kind = "convolution" if part == "conv1" else "normalization"
        return f"resnet.embedder.embedder.{kind}"
    layer, block, inner = int(words[0][5:]) - 1, words[1], words[2]
    path = f"resnet.encoder.stages.{layer}.layers.{block}"
    if inner == "downsample":
        return f"{path}.shortcut.{('convolution', 'normalization')[int(words[3])]}"
    kind = "convolution" if inner[:-1] == "conv" else "normalization"
    return f"{path}.layer.{int(inner[-1]) - 1}.{kind}"


def resnet(
    weights: Weights,
    x: Tensor,
    blocks: Sequence[int],
    bottleneck: bool = False,
    names: Names = torchvision,
    stem: tuple[int, int, int] = (3, 1, 1),
    pool: bool = False,
    relu: bool = True,
    width: int = 64,
) -> Tensor:
    """He et al., arXiv 1512.03385, with torchvision's strides."""
    kernel, step, padding = stem
    x = weights.norm(weights.conv(x, names("conv1"), width, kernel, step, padding), names("bn1"))
    x = x.relu() if relu else x
    x = F.max_pool2d(x, 3, 2, 1) if pool else x
    for layer, count in enumerate(blocks, 1):
        inside = width << (layer - 1)
        outside = inside * (4 if bottleneck else 1)
        for block in range(count):
            path = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            shapes = [(inside, 3, stride), (outside, 3, 1)]
            if bottleneck:
                shapes = [(inside, 1, 1), (inside, 3, stride), (outside, 1, 1)]
            change, kept = x, x
            for number, (channels, size, stride_of_part) in enumerate(shapes, 1):
                key = names(f"{path}.conv{number}")
                change = weights.conv(change, key, channels, size, stride_of_part)
                change = weights.norm(change, names(f"{path}.bn{number}"))
                change = change if number == len(shapes) else change.relu()
            if stride > 1 or x.shape[1] != outside:
                kept = weights.conv(x, names(f"{path}.downsample.0"), outside, 1, stride)
                kept = weights.norm(kept, names(f"{path}.downsample.1"))
            x = (change + kept).relu()
    return x.mean((2, 3))


def preact_resnet(
    weights: Weights, x: Tensor, blocks: Sequence[int], bottleneck: bool = False
) -> Tensor:
    """kuangliu/pytorch-cifar: no norm after the last block."""
    x = weights.conv(x, "conv1", 64, 3)
    for layer, count in enumerate(blocks, 1):
        inside = 32 << layer
        outside = inside * (4 if bottleneck else 1)
        for block in range(count):
            path, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            active = weights.norm(x, f"{path}.bn1").relu()
            kept = x
            if stride > 1 or x.shape[1] != outside:
                kept = weights.conv(active, f"{path}.shortcut.0", outside, 1, stride)
            shapes = [(inside, 3, stride), (outside, 3, 1)]
            if bottleneck:
                shapes = [(inside, 1, 1), (inside, 3, stride), (outside, 1, 1)]
            for number, (channels, size, step) in enumerate(shapes, 1):
                if number > 1:
                    active = weights.norm(active, f"{path}.bn{number}").relu()
                active = weights.conv(active, f"{path}.conv{number}", channels, size, step)
            x = active + kept
    return x.mean((2, 3))


def wide_resnet(weights: Weights, x: Tensor, depth: int, factor: int, biased: bool) -> Tensor:
    """xternalz/WideResNet-pytorch, or with a bias meliketoy/wide-resnet.pytorch, whose shortcuts
    read the input itself."""
    x = weights.conv(x, "conv1", 16, 3, bias=biased)
    for layer in (1, 2, 3):
        channels = 16 * factor << (layer - 1)
        for block in range((depth - 4) // 6):
            path = f"layer{layer}.{block}" if biased else f"block{layer}.layer.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            active = weights.norm(x, f"{path}.bn1").relu()
            kept = x
            if x.shape[1] != channels:
                name = f"{path}.shortcut.0" if biased else f"{path}.convShortcut"
                source = x if biased else active
                kept = weights.conv(source, name, channels, 1, stride, bias=biased)
            change = weights.conv(active, f"{path}.conv1", channels, 3, stride, bias=biased)
            change = weights.norm(change, f"{path}.bn2").relu()
            x = weights.conv(change, f"{path}.conv2", channels, 3, bias=biased) + kept
    return weights.norm(x, "bn1").relu().mean((2, 3))


def ssl_wide_resnet(
    weights: Weights,
    x: Tensor,
    factor: int,
    layers: int = 3,
    biased: bool = True,
    epsilon: float = 1e-3,
    skips: bool = True,
) -> Tensor:
    """kekmodel/FixMatch-pytorch, or with a bias and another epsilon TorchSSL, solo-learn and USB.

    `skips`: the first block of all layers but the first does not use the norm of its input.
    """

    def active(x: Tensor, key: str) -> Tensor:
        return F.leaky_relu(weights.norm(x, key, epsilon), 0.1)

    def conv(x: Tensor, key: str, channels: int, kernel: int, stride: int = 1) -> Tensor:
        return weights.conv(x, key, channels, kernel, stride, bias=biased)

    x = conv(x, "conv1", 16, 3)
    for layer in range(1, layers + 1):
        channels = 16 * factor << (layer - 1)
        for block in range(4):
            path = f"block{layer}.layer.{block}"
            stride = 2 if block == 0 and (layer > 1 or layers == 4) else 1
            start = active(x, f"{path}.bn1")
            if block == 0:
                x = start = x if skips and layer > 1 else start
                x = conv(x, f"{path}.convShortcut", channels, 1, stride)
            change = active(conv(start, f"{path}.conv1", channels, 3, stride), f"{path}.bn2")
            x = x + conv(change, f"{path}.conv2", channels, 3)
    return active(x, "bn1").mean((2, 3))


def vgg(
    weights: Weights,
    x: Tensor,
    groups: Sequence[Sequence[int]],
    activation: Callable[[Tensor], Tensor] = F.relu,
    dropout: bool = False,
) -> Tensor:
    """Convolution, norm and activation in `features`, whose numbers count every layer."""
    index = 0
    for group in groups:
        for channels in group:
            x = weights.conv(x, f"features.{index}", channels, 3, bias=True)
            x = activation(weights.norm(x, f"features.{index + 1}"))
            index += 3
        x = F.max_pool2d(x, 2)
        index += 2 if dropout else 1
    return x.flatten(1)


def convnext(
    weights: Weights,
    x: Tensor,
    depths: Sequence[int],
    widths: Sequence[int],
    hub: bool,
    second: bool = False,
) -> Tensor:
    """Liu et al., arXiv 2201.03545: names of facebookresearch/ConvNeXt, or of Hugging Face.

    `second` is ConvNeXt V2, Woo et al., arXiv 2301.00808, equation 3 of which is the response norm.
    """
    model = "convnextv2" if second else "convnext"

    def response_norm(x: Tensor, key: str) -> Tensor:
        shape = (1, 1, 1, x.shape[-1])
        gamma = weights.make(f"{key}.{'weight' if hub else 'gamma'}", *shape)
        beta = weights.make(f"{key}.{'bias' if hub else 'beta'}", *shape)
        strength = x.square().sum((1, 2), keepdim=True).sqrt()
        return x + gamma * (x * (strength / (strength.mean(-1, keepdim=True) + 1e-6))) + beta

    def conv(x: Tensor, key: str, width: int, kernel: int) -> Tensor:
        """With stride: the patches do not overlap. Channels last."""
        x = x.permute(0, 3, 1, 2)
        return weights.conv(x, key, width, kernel, kernel, 0, bias=True).permute(0, 2, 3, 1)

    stem = (f"{model}.embeddings.patch_embeddings", f"{model}.embeddings.layernorm")
    stem = stem if hub else ("downsample_layers.0.0", "downsample_layers.0.1")
    x = weights.layer_norm(conv(x.permute(0, 2, 3, 1), stem[0], widths[0], 4), stem[1])
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        if stage:
            path = f"{model}.encoder.stages.{stage}.downsampling_layer" if hub else ""
            path = path or f"downsample_layers.{stage}"
            x = conv(weights.layer_norm(x, f"{path}.0"), f"{path}.1", width, 2)
        for block in range(depth):
            path = f"{model}.encoder.stages.{stage}.layers" if hub else f"stages.{stage}"
            path = f"{path}.{block}"
            change = weights.conv(
                x.permute(0, 3, 1, 2), f"{path}.dwconv", width, 7, bias=True, groups=width
            )
            name = f"{path}.{'layernorm' if hub else 'norm'}"
            change = weights.layer_norm(change.permute(0, 2, 3, 1), name)
            change = F.gelu(weights.linear(change, f"{path}.pwconv1", 4 * width))
            change = response_norm(change, f"{path}.grn") if second else change
            change = weights.linear(change, f"{path}.pwconv2", width)
            scale = f"{path}.{'layer_scale_parameter' if hub else 'gamma'}"
            x = x + (change if second else change * weights.make(scale, width))
    return weights.layer_norm(x.mean((1, 2)), f"{model}.layernorm" if hub else "norm")
