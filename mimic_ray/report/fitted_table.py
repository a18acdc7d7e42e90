"""A table for a terminal of any width: no name and no number is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

NOT_MEASURED = "-"


class FittedTable:
    """What rich prints: a table if it fits the width, otherwise a paragraph for each of its lines.

    Cells are plain text, not markup. The first of a line is its name. Notes follow the table.
    """

    def __init__(
        self,
        header: Sequence[str],
        lines: Iterable[Sequence[str]],
        notes: Sequence[str] = (),
    ) -> None:
        self._header, self._lines, self._notes = header, list(lines), notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=SIMPLE_HEAD)
        for number, title in enumerate(self._header):
            table.add_column(title, justify="right" if number else "left", no_wrap=True)
        for line in self._lines:
            table.add_row(*map(Text, line))
        unlimited = options.update(max_width=1 << 16)
        if Measurement.get(console, unlimited, table).maximum <= options.max_width:
            yield table
        else:
            yield Group(*map(self._paragraph, self._lines))
        yield from map(Text, self._notes)

    def _paragraph(self, line: Sequence[str]) -> Text:
        name, *cells = line
        width = max(map(len, self._header)) + 1
        shown = [
            f"  {title:<{width}}{cell}"
            for title, cell in zip(self._header[1:], cells, strict=True)
            if cell != NOT_MEASURED
        ]
        # Folded, not cut, should a name be longer than the line.
        return Text("\n".join([name, *shown]), overflow="fold")
