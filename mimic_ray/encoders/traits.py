"""What decides the features of an encoder, but not the names and shapes of its weights.

Two encoders whose keys and shapes are equal may differ in all of it, so a file that fits one fits
the other, and the features are wrong without an error. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from mimic_ray.base.argument_types import check_fields


@dataclass(frozen=True)
class Traits:
    """Facts of a network that its weights do not determine; a default means: it has no such part.

    Attributes:
        heads: Attention heads of each block.
        activation: Between the two layers of a block's MLP: "GELU" or "QuickGELU"; of a
            small network.
        pooling: How the feature is read from the last tokens or map: "class token", "mean".
        registers: Register tokens beside the class token.
        norm_epsilon: Of the norms of the blocks.
        patch_order: Order of the values of a patch in a linear patch embedding.
        padding: Of a ResNet's first convolution, or "same" where strides pad one side alone.
        first_norms: "unused" if the first norm of a wide ResNet's layers is in the file alone.
    """

    heads: int = 0
    activation: str = ""
    pooling: str = ""
    registers: int = 0
    norm_epsilon: float = 0.0
    patch_order: str = ""
    padding: str = ""
    first_norms: str = ""

    def __post_init__(self) -> None:
        check_fields(self)

    def stated(self) -> dict[str, int | float | str]:
        """The traits that are not defaults, by name."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }


NO_TRAITS = Traits()
