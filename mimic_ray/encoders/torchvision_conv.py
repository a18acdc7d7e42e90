"""torchvision's ConvNeXt, Swin, EfficientNet and MobileNet under torchvision's key names.

torchvision builds them. What follows the feature, the classifier, is left out: `classifier` or
`head`, but for the norm of a ConvNeXt, which is the first part of its classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torchvision.models import get_model

from mimic_ray.encoders.conv_net import ConvNet


class TorchvisionConv(ConvNet):
    """Images [B, 3, S, S] -> features [B, D].

    Args:
        name: torchvision's.
        ends: One more than the index in `features` of the last part of each stride, 4 to 32.
    """

    def __init__(self, name: str, ends: tuple[int, ...]) -> None:
        super().__init__()
        net = get_model(name, weights=None)
        self.features, self.ends = net.features, ends
        self.channels_last = name.startswith("swin")
        if self.channels_last:
            self.norm = net.norm
        if name.startswith("convnext"):
            self.classifier = net.classifier[:1]
        classifier = [m for m in net.modules() if isinstance(m, nn.Linear)][-1]
        if name.startswith("mobilenet_v3"):  # it has a hidden layer
            classifier = net.classifier[0]
        self.feature_width = classifier.in_features
        # Stages of several blocks; the parts of a MobileNet are the blocks themselves.
        staged = [index for index, part in enumerate(self.features) if _has_blocks(part)]
        self.blocks = tuple(f"features.{index}.*" for index in staged) or ("features.*",)

    def stages(self) -> Iterable[Callable[[Tensor], Tensor]]:
        parts = [*self.features]
        return [partial(_through, parts[first:end]) for first, end in pairwise((0, *self.ends))]

    def pooled(self, x: Tensor) -> Tensor:
        x = _through(self.features[self.ends[-1] :], x)
        if self.channels_last:
            x = self.as_map(self.norm(x))
        x = super().pooled(x)
        if hasattr(self, "classifier"):
            x = self.classifier(x[:, :, None, None]).flatten(1)
        return x

    def as_map(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2) if self.channels_last else x


def _has_blocks(part: nn.Module) -> bool:
    return type(part) is nn.Sequential and any(any(block.children()) for block in part)


def _through(parts: Iterable[nn.Module], x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x
