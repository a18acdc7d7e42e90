"""The words of an evaluation in its table and its figure: labels, notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mimic_ray.base.text import plain
from mimic_ray.evaluation.results import EvaluationRow

_LONGEST = 2000  # letters of a name


def row_labels(rows: Sequence[EvaluationRow]) -> list[str]:
    """The label of each row: the name, the number of encoders if there are several, and the head if
    there are several kinds."""
    several = len({row.head for row in rows}) > 1
    names = [
        f"{row.encoder} ({row.encoders} encoders)" if row.encoders > 1 else row.encoder
        for row in rows
    ]
    heads = [f", {row.head}" if several else "" for row in rows]
    return [plain(name + head, _LONGEST) for name, head in zip(names, heads, strict=True)]


def interval_words(rows: Sequence[EvaluationRow]) -> str:
    """What the intervals cover: `over encoders, heads and test images`."""
    encoders, heads = _most(rows)
    held = [*(["encoders"] if encoders > 1 else []), *(["heads"] if heads > 1 else [])]
    return f"over {', '.join(held)} and test images" if held else "over test images"


def evaluation_note(rows: Sequence[EvaluationRow]) -> str:
    """How to read the numbers: what the intervals cover, and the largest spread within a row."""
    note = f"95 % confidence intervals {interval_words(rows)} in brackets."
    encoders, heads = _most(rows)
    if 1 in {row.encoders for row in rows} and encoders > 1:
        note += " Rows of one encoder do not cover other purifications."
    if encoders * heads < 2:
        return note
    acc = _largest_spread(row.acc_range() for row in rows)
    asr = _largest_spread(limits for row in rows if (limits := row.asr_range()))
    spreads = f"ACC by {acc:.1f}" if asr is None else f"ACC by {acc:.1f} and in ASR by {asr:.1f}"
    each = f"{heads} heads{' on each encoder' if encoders > 1 else ''}"
    means = each if heads > 1 else "the encoders of a row"
    return f"{note} Means of {means}; they differ at most in {spreads} points."


def _most(rows: Sequence[EvaluationRow]) -> tuple[int, int]:
    """The largest numbers of encoders of a row, and of heads on one encoder."""
    encoders = max((row.encoders for row in rows), default=1)
    return encoders, max((row.heads for row in rows), default=1) or 1


def _largest_spread(ranges: Iterable[tuple[float, float]]) -> float | None:
    """In percentage points; None without ranges."""
    return max((100 * (high - low) for low, high in ranges), default=None)
