"""The words of an evaluation in its table and its figure: labels, notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mimic_ray.base.text import plain
from mimic_ray.evaluation.results import EvaluationRow

_LONGEST = 2000  # letters of a name


def row_labels(rows: Sequence[EvaluationRow]) -> list[str]:
    """The label of each row: the encoder, and its head if there are several kinds."""
    several = len({row.head for row in rows}) > 1
    names = [f"{row.encoder}, {row.head}" if several else row.encoder for row in rows]
    return [plain(name, _LONGEST) for name in names]


def interval_words(rows: Sequence[EvaluationRow]) -> str:
    """What the intervals hold: `over heads and test images`."""
    return "over heads and test images" if _most_heads(rows) > 1 else "over test images"


def evaluation_note(rows: Sequence[EvaluationRow]) -> str:
    """How to read the numbers: what the intervals hold, and the largest spread between heads."""
    note = f"95 % confidence intervals {interval_words(rows)} in brackets."
    heads = _most_heads(rows)
    if heads < 2:
        return note
    acc = _largest_spread(row.acc_range() for row in rows)
    asr = _largest_spread(limits for row in rows if (limits := row.asr_range()))
    spreads = f"ACC by {acc:.1f}" if asr is None else f"ACC by {acc:.1f} and in ASR by {asr:.1f}"
    return f"{note} Means of {heads} heads; they differ at most in {spreads} points."


def _most_heads(rows: Sequence[EvaluationRow]) -> int:
    return max((len(row.scores) for row in rows), default=0)


def _largest_spread(ranges: Iterable[tuple[float, float]]) -> float | None:
    """In percentage points; None without ranges."""
    return max((100 * (high - low) for low, high in ranges), default=None)
