"""A table for a terminal of any width: no name and no number is cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

NOT_MEASURED = "-"
_LEAST_FOLDED = 30  # letters in a line of a column that folds; with less there are paragraphs


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
        left: Collection[int] = (0,),
        folds_last: bool = False,
    ) -> None:
        """After each line whose number is in `sections`, the terminal shows a rule. The columns in
        `left` have words, the others numbers. With `folds_last`, cells of the last column may take
        several lines."""
        self.header, self.lines, self.notes = list(header), [list(line) for line in lines], notes
        self.records: Sequence[Mapping[str, Any]] = (
            [dict(zip(self.header, line, strict=True)) for line in self.lines]
            if records is None
            else records
        )
        self._sections, self._left, self._folds_last = sections, left, folds_last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        count = len(self.header)
        unfolded = self._table(count - 1 if self._folds_last else count)
        unlimited = options.update(max_width=1 << 16)
        needed = Measurement.get(console, unlimited, unfolded).maximum
        needed += _LEAST_FOLDED if self._folds_last else 0
        if needed <= options.max_width:
            yield self._table(count)
        else:
            yield Group(*map(self._paragraph, self.lines))
        # Folded, not cut, should a word be longer than the line.
        yield from (Text(note, overflow="fold") for note in self.notes)

    def _table(self, columns: int) -> Table:
        """The first `columns` as rich draws them."""
        table = Table(box=SIMPLE_HEAD)
        for number, title in enumerate(self.header[:columns]):
            folds = self._folds_last and number == len(self.header) - 1
            side: Literal["left", "right"] = "left" if number in self._left else "right"
            table.add_column(title, justify=side, no_wrap=not folds, overflow="fold")
        for number, line in enumerate(self.lines):
            table.add_row(*map(Text, line[:columns]), end_section=number in self._sections)
        return table

    def _paragraph(self, line: Sequence[str]) -> Text:
        name, *cells = line
        width = max(map(len, self.header)) + 1
        shown = [
            f"  {title:<{width}}{cell}"
            for title, cell in zip(self.header[1:], cells, strict=True)
            if cell != NOT_MEASURED
        ]
        return Text("\n".join([name, *shown]), overflow="fold")
