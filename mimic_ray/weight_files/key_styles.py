"""The key names under which publishers store a network that has the same layers as one of ours.

A style renames our keys to the publisher's. The tensors are the same, but for dimensions of length
1, so the features are, and an exported file has its own keys and shapes. Styles apply to every
encoder that has their `mark`, by its keys and not by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass, field

Rule = tuple[str, str | Callable[[re.Match[str]], str]]


@dataclass(frozen=True)
class KeyStyle:
    """Our key -> a publisher's, by the first rule whose pattern matches at the start of the key.

    Attributes:
        name: Shown to users; "" for our own names.
        mark: A key of the encoders that the style is for.
        rules: (pattern, replacement) as for `re.sub`. A key without a match has our name.
        beside: The start of keys that are in a module of the encoder and no part of it.
        units: Whether dimensions of length 1 may differ.
    """

    name: str
    mark: str = ""
    rules: tuple[Rule, ...] = ()
    beside: tuple[str, ...] = ()
    units: bool = False
    _compiled: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = field(
        init=False, repr=False, compare=False, default_factory=list
    )

    def __post_init__(self) -> None:
        self._compiled.extend((re.compile(pattern), new) for pattern, new in self.rules)

    def key(self, ours: str) -> str:
        for pattern, new in self._compiled:
            renamed, count = pattern.subn(new, ours, count=1)
            if count:
                return renamed
        return ours


OWN = KeyStyle("")


_PARTS = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
_SEQUENTIAL: tuple[Rule, ...] = tuple((rf"^{part}\.", f"{n}.") for part, n in _PARTS.items())


def _hugging_face(rest: str) -> Callable[[re.Match[str]], str]:
    """The replacement for (layer, block, number): layers and numbers count from 0 there."""

    def replace(match: re.Match[str]) -> str:
        layer, block, number = (int(part) for part in match.groups())
        return f"encoder.stages.{layer - 1}.layers.{block}." + rest.format(number - 1)

    return replace


def _detectron(rest: str) -> Callable[[re.Match[str]], str]:
    """The replacement for (layer, block, ...): layers count from 2 there."""

    def replace(match: re.Match[str]) -> str:
        layer, block, *numbers = match.groups()
        return f"res{int(layer) + 1}.{block}." + rest.format(*numbers)

    return replace


_RESNET = "layer1.0.conv1.weight"
_CONVNEXT = "stages.0.blocks.0.conv_dw.weight"

STYLES = (
    KeyStyle(
        "the children of a torchvision ResNet in one nn.Sequential (lightly and others)",
        _RESNET,
        _SEQUENTIAL,
    ),
    KeyStyle(
        "kuangliu/pytorch-cifar and SupContrast",
        "layer2.0.downsample.0.weight",
        ((r"^(layer\d\.\d+)\.downsample\.", r"\1.shortcut."),),
    ),
    KeyStyle(
        "Hugging Face ResNet",
        _RESNET,
        (
            (r"^conv1\.", "embedder.embedder.convolution."),
            (r"^bn1\.", "embedder.embedder.normalization."),
            (r"^layer(\d)\.(\d+)\.conv(\d)\.", _hugging_face("layer.{}.convolution.")),
            (r"^layer(\d)\.(\d+)\.bn(\d)\.", _hugging_face("layer.{}.normalization.")),
            (r"^layer(\d)\.(\d+)\.downsample\.(0)\.", _hugging_face("shortcut.convolution.")),
            (r"^layer(\d)\.(\d+)\.downsample\.(1)\.", _hugging_face("shortcut.normalization.")),
        ),
    ),
    KeyStyle(
        "Detectron2 ResNet (also of MoCo's converted files)",
        _RESNET,
        (
            (r"^conv1\.", "stem.conv1."),
            (r"^bn1\.", "stem.conv1.norm."),
            (r"^layer(\d)\.(\d+)\.conv(\d)\.", _detectron("conv{}.")),
            (r"^layer(\d)\.(\d+)\.bn(\d)\.", _detectron("conv{}.norm.")),
            (r"^layer(\d)\.(\d+)\.downsample\.0\.", _detectron("shortcut.")),
            (r"^layer(\d)\.(\d+)\.downsample\.1\.", _detectron("shortcut.norm.")),
        ),
        beside=("stem.fc.",),  # MoCo's converter gives the head the name of the stem
    ),
    KeyStyle(
        "facebookresearch/ConvNeXt and ConvNeXt-V2",
        _CONVNEXT,
        (
            (r"^stem\.", "downsample_layers.0."),
            (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
            (r"^(stages\.\d)\.blocks\.(\d+)\.conv_dw\.", r"\1.\2.dwconv."),
            (r"^(stages\.\d)\.blocks\.(\d+)\.mlp\.fc(\d)\.", r"\1.\2.pwconv\3."),
            (r"^(stages\.\d)\.blocks\.(\d+)\.mlp\.grn\.weight$", r"\1.\2.grn.gamma"),
            (r"^(stages\.\d)\.blocks\.(\d+)\.mlp\.grn\.bias$", r"\1.\2.grn.beta"),
            (r"^(stages\.\d)\.blocks\.", r"\1."),
            (r"^head\.norm\.", "norm."),
        ),
        units=True,
    ),
    KeyStyle(
        "Hugging Face ConvNeXt and ConvNeXt V2",
        _CONVNEXT,
        (
            (r"^stem\.0\.", "embeddings.patch_embeddings."),
            (r"^stem\.1\.", "embeddings.layernorm."),
            (r"^(stages\.\d)\.downsample\.", r"encoder.\1.downsampling_layer."),
            (r"^(stages\.\d)\.blocks\.(\d+)\.conv_dw\.", r"encoder.\1.layers.\2.dwconv."),
            (r"^(stages\.\d)\.blocks\.(\d+)\.norm\.", r"encoder.\1.layers.\2.layernorm."),
            (r"^(stages\.\d)\.blocks\.(\d+)\.mlp\.fc(\d)\.", r"encoder.\1.layers.\2.pwconv\3."),
            (
                r"^(stages\.\d)\.blocks\.(\d+)\.gamma$",
                r"encoder.\1.layers.\2.layer_scale_parameter",
            ),
            (r"^(stages\.\d)\.blocks\.(\d+)\.mlp\.grn\.", r"encoder.\1.layers.\2.grn."),
            (r"^head\.norm\.", "layernorm."),
        ),
        units=True,
    ),
    KeyStyle(
        "the layers of a VGG in one nn.Sequential (torchvision, kuangliu, chengyangfu)",
        "block1.0.weight",
        ((r"^block\d\.", "features."),),
    ),
    KeyStyle(
        "the children of a ResNet without max-pooling in one nn.Sequential",
        "f.0.weight",
        ((r"^f\.", ""),),
    ),
)


def styles_of(keys: Container[str]) -> list[KeyStyle]:
    """The styles of an encoder with these keys, our own first."""
    return [OWN, *(style for style in STYLES if style.mark in keys)]
