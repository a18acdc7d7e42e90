"""Results as tables: for the terminal (rich) and as Markdown for model cards and documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from mimic_ray.base.text import plain
from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.method.profile import Profile

_NOT_MEASURED = "-"


def percent(proportion: Proportion | None) -> str:
    """`82.4 % (80.7-84.0)`: share and 95 % interval, or a dash for what was not measured."""
    if proportion is None:
        return _NOT_MEASURED
    low, high = 100 * proportion.low, 100 * proportion.high
    return f"{100 * proportion.share:.1f} % ({low:.1f}-{high:.1f})"


def evaluation_table(rows: Iterable[EvaluationRow]) -> Table:
    """One encoder a line, or one for each of its heads: ACC, ASR, ASR-B with 95 % intervals."""
    header, lines = _evaluation_cells(rows)
    return _rich_table(header, lines, "95 % intervals in brackets")


def evaluation_markdown(rows: Iterable[EvaluationRow]) -> str:
    """The same as a Markdown table."""
    return _markdown_table(*_evaluation_cells(rows))


def profile_table(profile: Profile) -> Table:
    """One tap a line: score, that of the untrained network, share, whether it is kept."""
    header, lines = _profile_cells(profile)
    return _rich_table(header, lines, _estimate(profile))


def profile_markdown(profile: Profile) -> str:
    """The same as a Markdown table."""
    return _markdown_table(*_profile_cells(profile))


def _evaluation_cells(rows: Iterable[EvaluationRow]) -> tuple[list[str], list[list[str]]]:
    rows = list(rows)
    header = ["Encoder", "ACC", "ASR", "ASR-B"]
    lines = [
        [plain(row.encoder), percent(row.acc), percent(row.asr), percent(row.asr_b)] for row in rows
    ]
    if len({row.head for row in rows}) > 1:
        header.insert(1, "Head")
        for line, row in zip(lines, rows, strict=True):
            line.insert(1, plain(row.head))
    return header, lines


def _profile_cells(profile: Profile) -> tuple[list[str], list[list[str]]]:
    lines = [
        [
            plain(tap.tap),
            f"{tap.score:.2f}",
            f"{tap.untrained:.2f}",
            f"{100 * tap.share:.1f} %",
            f"{tap.weight:.2f}" if tap.kept else "not kept",
        ]
        for tap in profile.taps
    ]
    return ["Tap", "Score", "Untrained", "Share", "Weight"], lines


def _estimate(profile: Profile) -> str:
    return f"{profile.estimator} estimate on {profile.images:,} images, shares of the {profile.of}"


def _rich_table(header: Sequence[str], lines: Iterable[Sequence[str]], caption: str) -> Table:
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    for column, title in enumerate(header):
        table.add_column(title, justify="right" if column else "left", no_wrap=column > 0)
    for line in lines:
        table.add_row(*(escape(cell) for cell in line))
    return table


def _markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    alignment = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join(
        f"| {' | '.join(markdown_text(cell) for cell in line)} |"
        for line in [header, alignment, *lines]
    )


def markdown_text(text: object) -> str:
    """Foreign text that cannot become a table cell, a link or HTML."""
    shown = plain(text).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#!" else c for c in shown)
