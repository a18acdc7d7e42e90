"""The built-in encoders with the facts that a user chooses by, from the stored layouts.

Nothing is built, and neither torch nor timm is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.base.text import near_names, plain
from mimic_ray.encoders.encoder_registry import HINT
from mimic_ray.encoders.normalisation import Rgb, name_of
from mimic_ray.encoders.sources import publishers
from mimic_ray.weight_files.known_layouts import known_layouts
from mimic_ray.weight_files.readable_layouts import layouts


@dataclass(frozen=True)
class ListedEncoder:
    """One encoder. `normalisation` is the name of mean and std, "" if they have none."""

    name: str
    parameters: int
    feature_width: int
    input_size: int
    normalisation: str
    mean: Rgb
    std: Rgb
    traits: dict[str, int | float | str]  # heads, activation, pooling ...; see encoders/traits.py
    publishers: str
    layouts: list[str]  # of keys, beside the encoder's own, that it is read from

    def size(self) -> str:
        """The parameters in words: "21.7 M", "1,137 M"."""
        millions = self.parameters / 1e6
        return f"{millions:,.0f} M" if millions >= 100 else f"{millions:.3g} M"

    def source(self) -> str:
        """Publishers, and the layouts of keys besides the encoder's own."""
        return "; ".join(dict.fromkeys([self.publishers, *self.layouts]))

    def network(self) -> str:
        """The traits in words: "6 heads, GELU, class token"."""
        heads, registers = self.traits.get("heads"), self.traits.get("registers")
        words = [
            f"{heads} heads" if heads else "",
            str(self.traits.get("activation", "")),
            str(self.traits.get("pooling", "")),
            f"{registers} registers" if registers else "",
            f"padding {padding}" if (padding := self.traits.get("padding")) else "",
        ]
        return ", ".join(filter(None, words))


def catalogue(pattern: str = "") -> list[ListedEncoder]:
    """The encoders whose name or publishers match: a wildcard as in `dino*`, or a part of it.

    Raises UnknownNameError if none does.
    """
    found = [
        ListedEncoder(
            name,
            known.parameters,
            known.width,
            known.side,
            name_of(known.mean, known.std),
            known.mean,
            known.std,
            known.traits.stated(),
            publishers(name),
            layouts(name, known.tensors),
        )
        for name, known in known_layouts().items()
        if _matches(pattern, name, publishers(name))
    ]
    if not found:
        near = near_names(pattern, known_layouts())
        raise UnknownNameError("encoder", plain(pattern), near, HINT)
    return found


def _matches(pattern: str, *texts: str) -> bool:
    pattern = pattern.lower()
    if any(sign in pattern for sign in "*?["):
        return fnmatchcase(texts[0], pattern)
    return any(pattern in text.lower() for text in texts)
