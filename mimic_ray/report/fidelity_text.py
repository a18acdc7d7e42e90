"""The fidelity of a run in words, for the terminal and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fidelity_sentence(fidelity: Mapping[str, Any]) -> str:
    """`cosine 0.957, 71 % of neighbours kept, on 100 images held out of training`."""
    of = "held out of training" if fidelity["held_out"] else "that it was trained on"
    return (
        f"cosine {fidelity['cosine']:.3f}, {100 * fidelity['overlap']:.0f} % of neighbours kept, "
        f"on {fidelity['images']:,} images {of}"
    )
