"""A table for a terminal of any width: no name and no number is cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

NOT_MEASURED = "-"


class FittedTable:
    """What rich prints: a table if it fits the width, otherwise a paragraph for each of its lines.

    Cells are plain text, not markup. The first of a line is its name. Notes follow the table.
    `table_files.py` writes the same table for papers and programs.

    Attributes:
        header: The titles of the columns.
        lines: The cells of each line.
        notes: Sentences below the table.
        records: The same as plain numbers, for programs: a row may have other columns than its
            line. Default: the cells.
    """

    def __init__(
        self,
        header: Sequence[str],
        lines: Iterable[Sequence[str]],
        notes: Sequence[str] = (),
        *,
        records: Sequence[Mapping[str, Any]] | None = None,
        sections: Collection[int] = (),
    ) -> None:
        """After each line whose number is in `sections`, the terminal shows a rule."""
        self.header, self.lines, self.notes = list(header), [list(line) for line in lines], notes
        self.records: Sequence[Mapping[str, Any]] = (
            [dict(zip(self.header, line, strict=True)) for line in self.lines]
            if records is None
            else records
        )
        self._sections = sections

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=SIMPLE_HEAD)
        for number, title in enumerate(self.header):
            table.add_column(title, justify="right" if number else "left", no_wrap=True)
        for number, line in enumerate(self.lines):
            table.add_row(*map(Text, line), end_section=number in self._sections)
        unlimited = options.update(max_width=1 << 16)
        if Measurement.get(console, unlimited, table).maximum <= options.max_width:
            yield table
        else:
            yield Group(*map(self._paragraph, self.lines))
        # Folded, not cut, should a word be longer than the line.
        yield from (Text(note, overflow="fold") for note in self.notes)

    def _paragraph(self, line: Sequence[str]) -> Text:
        name, *cells = line
        width = max(map(len, self.header)) + 1
        shown = [
            f"  {title:<{width}}{cell}"
            for title, cell in zip(self.header[1:], cells, strict=True)
            if cell != NOT_MEASURED
        ]
        return Text("\n".join([name, *shown]), overflow="fold")
