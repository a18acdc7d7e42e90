"""The encoders that fit one file: what sets them apart, and what the file itself says about it.

Keys and shapes do not determine the attention heads, the activation, the pooling, or the statistics
of the input (traits.py, normalisation.py). Names with the same facts are one alternative. Imports
no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mimic_ray.base.text import plain
from mimic_ray.encoders import encoder_name, sizes
from mimic_ray.encoders.normalisation import NORMALISATIONS, Rgb, name_of
from mimic_ray.encoders.traits import Traits
from mimic_ray.weight_files.known_layouts import known_layouts
from mimic_ray.weight_files.located_weights import KeyMatch

if TYPE_CHECKING:
    from mimic_ray.encoders.encoder import Spec

STATISTICS = "mean and std"
_SIDE, LOCATION = "image side", "in"
# They are shown with every result, and a size can be part of the name.
UNDECISIVE = (_SIDE, LOCATION)
# Traits that are not called by their own name.
_WORDS = {"registers": "register tokens", "norm_epsilon": "epsilon of norms"}

Facts = Mapping[str, str]  # what is not in the weights, in words: {"heads": "6"}


@dataclass(frozen=True)
class Alternative:
    """Encoders with the same features from the same weights."""

    names: tuple[str, ...]
    facts: Facts

    def words(self, shown: Iterable[str]) -> str:
        """`deit_s16 or dino_s16 (mean and std imagenet, heads 6)`, with these facts."""
        names = " or ".join(self.names)
        facts = ", ".join(f"{fact} {self.facts[fact]}" for fact in shown if fact in self.facts)
        return f"{names} ({facts})" if facts else names


def facts(side: int, mean: Rgb, std: Rgb, traits: Traits) -> Facts:
    return {
        STATISTICS: statistics_words(mean, std),
        **{
            _WORDS.get(name, name.replace("_", " ")): str(value)
            for name, value in traits.stated().items()
        },
        _SIDE: str(side),
    }


def statistics_words(mean: Rgb, std: Rgb) -> str:
    """ "imagenet", or the numbers of statistics without a name."""
    numbers = f"{' '.join(f'{x:g}' for x in mean)} and {' '.join(f'{x:g}' for x in std)}"
    return name_of(mean, std) or numbers


def facts_of_spec(spec: Spec) -> Facts:
    return facts(spec.input_size, spec.mean, spec.std, spec.traits)


def facts_of(name: str) -> Facts:
    """Of a built-in encoder, with the size and statistics in its name; nothing is built."""
    sized, statistics = encoder_name.split(name)
    base, size = sizes.split(sized)
    known = known_layouts()[base]
    mean, std = statistics or (known.mean, known.std)
    return facts(size or known.side, mean, std, known.traits)


def alternatives(matches: Iterable[KeyMatch], settings: str = "") -> list[Alternative]:
    """One for each set of facts; `settings` are those that follow a name. Common statistics come
    first and those of Google's weights last, because most files with these keys are not theirs;
    then what most names have."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for match in matches:
        name = match.encoder + settings
        known = {**facts_of(name), LOCATION: location_words(match)}
        groups.setdefault(tuple(known.items()), []).append(name)
    found = [Alternative(tuple(group), dict(key)) for key, group in groups.items()]
    order = [*NORMALISATIONS]
    unnamed = len(order) - 1.5  # before the last
    return sorted(
        found,
        key=lambda each: (
            order.index(each.facts[STATISTICS]) if each.facts[STATISTICS] in order else unnamed,
            -len(each.names),
        ),
    )


def location_words(match: KeyMatch) -> str:
    """Where the weights are in the file, in words."""
    group = plain(".".join(match.group)) or "the top level"
    return f"{group}, keys {plain(match.prefix)}*" if match.prefix else group


def base_name(name: str) -> str:
    """Without size and statistics."""
    return sizes.split(encoder_name.without_statistics(name))[0]


def decisive(known: Facts) -> Facts:
    """The facts that change the features of one image at one size."""
    return {fact: value for fact, value in known.items() if fact not in UNDECISIVE}


def differing(found: Sequence[Alternative]) -> list[str]:
    """The facts in which the alternatives differ, such as "heads"."""
    every = dict.fromkeys(fact for each in found for fact in each.facts)
    return [fact for fact in every if len({each.facts.get(fact) for each in found}) > 1]


def listed(found: Sequence[Alternative]) -> str:
    """The alternatives in words, each with the facts that set it apart."""
    return "; ".join(each.words(differing(found)) for each in found)
