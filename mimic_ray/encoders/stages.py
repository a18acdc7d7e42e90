"""The stages of an encoder, and which of them each weight belongs to.

A stage is a group of blocks with the same parent, as `layer1` to `layer4` of a ResNet. Where all
blocks have one parent, as in a transformer, their quarters are the stages.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.conv import _ConvNd

from mimic_ray.encoders.blocks import blocks
from mimic_ray.encoders.encoder import Encoder

_QUARTERS = 4
_WEIGHTED = (_ConvNd, nn.Linear, nn.MultiheadAttention)


def stages(encoder: Encoder) -> list[list[str]]:
    """Paths in the network of the blocks of each stage, in the order of the network.

    An encoder without repeated blocks has its convolutions and linear layers instead.
    """
    chosen = {id(block) for block in blocks(encoder)}
    paths = [path for path, module in encoder.net.named_modules() if id(module) in chosen]
    if not paths:
        paths = [path for path, _ in weighted_layers(encoder)]
    parents: dict[str, list[str]] = {}
    for path in paths:
        parents.setdefault(path.rpartition(".")[0], []).append(path)
    if len(parents) > 1:
        return list(parents.values())
    count = min(_QUARTERS, len(paths))
    bounds = [len(paths) * part // count for part in range(count + 1)]
    return [paths[bounds[part] : bounds[part + 1]] for part in range(count)]


def weighted_layers(encoder: Encoder) -> Iterator[tuple[str, nn.Module]]:
    """Convolutions, linear layers and attention with their paths in the network; no norms."""
    for path, module in encoder.net.named_modules():
        if isinstance(module, _WEIGHTED):
            yield path, module


def weight_stages(encoder: Encoder) -> dict[str, int | None]:
    """The stage of each weight and bias of these layers, by name in the network's state.

    Before the first stage it is -1, after the last None.
    """
    by_block = {path: number for number, group in enumerate(stages(encoder)) for path in group}
    found: dict[str, int | None] = {}
    last = max(by_block.values(), default=-1)
    reached = -1
    for path, module in weighted_layers(encoder):
        inside = [number for block, number in by_block.items() if _is_in(path, block)]
        reached = max([reached, *inside])
        stage = inside[0] if inside else (None if reached == last >= 0 else reached)
        for name, _ in module.named_parameters(recurse=False):
            found[f"{path}.{name}" if path else name] = stage
    return found


def _is_in(path: str, block: str) -> bool:
    return path == block or path.startswith(f"{block}.")
