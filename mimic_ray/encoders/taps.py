"""Taps that a user asks for by name or pattern, checked against those that an encoder has."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.base.text import near_names
from mimic_ray.encoders.encoder import Spec


def chosen_taps(spec: Spec, wanted: Sequence[str]) -> tuple[str, ...]:
    """The encoder's taps that `wanted` names, each once, from the input to the output.

    A name may be a pattern: `block*`, `layer[34]`. Raises UnknownNameError for a name or pattern
    that means no tap, with near names and all that there are.
    """
    named: set[str] = set()
    for name in wanted:
        found = [tap for tap in spec.taps if fnmatchcase(tap, name)]
        if not found:
            raise UnknownNameError(
                f"tap of {spec.name}", name, near_names(name, spec.taps), _hint(spec)
            )
        named.update(found)
    return tuple(tap for tap in spec.taps if tap in named)


def _hint(spec: Spec) -> str:
    taps = spec.taps
    shown = [*taps[:2], "...", taps[-1]] if len(taps) > 6 else taps
    return (
        f"Its taps are {', '.join(shown)}; patterns such as {taps[0].rstrip('0123456789')}* work."
    )
