"""The fidelity of a run in words, for the terminal and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# At 0.868 a VGG had lost 6 points of accuracy: docs/measurements/scan_resnet_cifar10_cpu_2026-11.md
_LOST = 0.85


def fidelity_sentence(fidelity: Mapping[str, Any]) -> str:
    """`cosine 0.957, 71 % of neighbours kept, on 100 images held out of training`."""
    of = "held out of training" if fidelity["held_out"] else "that it was trained on"
    return (
        f"cosine {fidelity['cosine']:.3f}, {100 * fidelity['overlap']:.0f} % of neighbours kept, "
        f"on {fidelity['images']:,} images {of}"
    )


def fidelity_warning(fidelity: Mapping[str, Any]) -> str:
    """What to do about a student that lost much of the teacher's features; "" for others."""
    if fidelity["cosine"] >= _LOST:
        return ""
    return (
        f"Much of the encoder's work is lost (cosine below {_LOST:g}): lower "
        "training.learning_rate, or use more images or steps."
    )
