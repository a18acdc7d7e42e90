"""Which encoder a file is read as: the one that was named, or the only one that fits.

Where several fit that differ, nothing is chosen without a word: without a name, the user is asked
for one; with a name, what was assumed is said (base/assumptions.py) and recorded.
"""

from __future__ import annotations

from pathlib import Path

from mimic_ray.base.assumptions import assume
from mimic_ray.base.errors import UsageError, WrongEncoderError, option
from mimic_ray.encoders import encoder_name
from mimic_ray.weight_files import sniff
from mimic_ray.weight_files.alternatives import (
    STATISTICS,
    UNDECISIVE,
    Alternative,
    Facts,
    alternatives,
    base_name,
    decisive,
    differing,
    listed,
)
from mimic_ray.weight_files.clues import narrowed
from mimic_ray.weight_files.fetch import at_hand
from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.layout import LIMIT_BYTES, Layout, read_layout
from mimic_ray.weight_files.located_weights import KeyMatch


def chosen_encoder(location: str | Path, name: str | None) -> str:
    """`name`, or without one the encoder that fits the file at `location`.

    A name without an encoder, as in ":normalise=none", states the statistics of the one that fits.
    Raises UsageError with the alternatives if several fit that differ, WrongEncoderError if none
    does, and what `read_layout` raises.
    """
    if name and encoder_name.without_statistics(name):
        return name
    settings = name or ""
    wanted = encoder_name.weights(settings)
    layout = read_layout(at_hand(location, LIMIT_BYTES))
    found, sign = narrowed(layout, alternatives(fitting_encoders(layout, wanted), settings))
    shown = sniff.shown(layout.path)
    if not found:
        raise WrongEncoderError(
            f"{shown}: no known encoder fits. See mimic-ray inspect, or give your own network as "
            f"{option('encoder', 'file.py:function')}."
        )
    if len(found) > 1:
        raise UsageError(
            f"{shown} fits encoders that differ in what its weights do not determine "
            f"({', '.join(differing(found))}): {listed(found)}. "
            f"Say which one it is with {option('encoder')}."
        )
    name = found[0].names[0]
    because = f", by {sign}" if sign else ""
    assume(f"{shown} is read as {found[0].words([STATISTICS])}{because}.")
    return name


def assumption(layout: Layout, match: KeyMatch, own: Facts) -> str:
    """What is assumed by reading the weights at `match` as its encoder, which has the facts `own`;
    "" if no other encoder of the same weights differs, or if the file itself determines them."""
    name = match.encoder
    settings = name.removeprefix(encoder_name.without_statistics(name))
    weights = {*match.keys.values()}
    fitting = fitting_encoders(layout, encoder_name.weights(name))
    same = (each for each in fitting if weights == {*each.keys.values()})
    found, sign = narrowed(layout, alternatives(same, settings))
    mine = Alternative((name,), decisive(own))
    others = [
        Alternative(tuple(map(base_name, each.names)), each.facts)
        for each in found
        if decisive(each.facts) != mine.facts
    ]
    if not others:
        return ""
    shown = [fact for fact in differing([mine, *others]) if fact not in UNDECISIVE]
    says = f" (it has {sign})" if sign else ""
    return (
        f"The weights of {sniff.shown(layout.path)} do not determine {', '.join(shown)}: assumed "
        f"{mine.words(shown)}, not {'; '.join(each.words(shown) for each in others)}{says}."
    )
