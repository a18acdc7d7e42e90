"""The result of `inspect` as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mimic_ray.base.text import count
from mimic_ray.weight_files.alternatives import STATISTICS
from mimic_ray.weight_files.contents import Contents, listed

if TYPE_CHECKING:
    from mimic_ray.workflows.inspect import Inspection, Match

_LISTS = ("left out", "the same memory, purified with it", "other copy, purified with --all-copies")


def inspection_table(found: Inspection) -> Table:
    """Rows: file, checksum, tensors, other contents, fitting encoders, safety."""
    table = Table.grid(padding=(0, 2))
    for word, lines in _rows(found):
        table.add_row(Text(word, style="bold"), Group(*map(_indented, lines)))
    return table


def _indented(line: str) -> Padding:
    """The line, whose continuations are indented as its beginning where it is wrapped."""
    text = line.lstrip(" ")
    # Folded, because a part of a checksum has no use.
    return Padding(Text(text, overflow="fold"), (0, 0, 0, len(line) - len(text)))


def _rows(found: Inspection) -> Iterator[tuple[str, list[str]]]:
    kind = f"{found.format}, {found.size_bytes:,} bytes"
    if len(found.parts) > 1:
        kind += f", sharded in {len(found.parts):,} files"
    yield "file", [found.file, kind]
    yield "sha256", [found.sha256]
    yield (
        "tensors",
        _few(
            f"{group.path or '(top)'}: {count(group.tensors, 'tensor')}, "
            f"{count(group.numbers, 'number')}, {' '.join(group.precisions)}"
            for group in found.groups
        ),
    )
    if found.notes:
        yield "other", _few(f"{key}: {note}" for key, note in found.notes.items())
    for (path, prefix, lists), same in groupby(sorted(found.fits, key=_where), _where):
        *lists, notes, key_paths = lists
        lines = [*_names(found, [*same])]
        lines.append(f"  at {path or '(top)'}, keys {prefix}*")
        for word, names in zip(_LISTS, lists, strict=True):
            if names:
                lines.append(f"  {word}: {', '.join(_few(names))}")
        if key_paths:
            lines.append(f"  to purify another copy: --weights {' or '.join(_few(key_paths))}")
        lines += [f"  {note}" for note in notes]
        yield "fits", lines
    if len(found.fits) > 1 and found.differs:
        yield "", [_advice(found)]
    if not found.fits and not found.misfit:
        yield "fits", _no_encoder(found.key_names)
    yield from _safety(found.contents)


def _no_encoder(key_names: list[str]) -> list[str]:
    lines = ["no known encoder; try --encoder with a timm name or file.py:function"]
    if key_names:
        names = " and ".join(key_names)
        lines.append(f"  Its key names are those of {names}, but no encoder has its sizes.")
    return lines


def _safety(contents: Contents) -> Iterator[tuple[str, list[str]]]:
    """What loading the file the ordinary way would do; here nothing of it was done."""
    if contents.harmless:
        yield "objects", [f"not built: {listed(contents.harmless)}"]
    if finding := contents.finding():
        yield "unsafe", [finding, "Its numbers were read without that. They may be backdoored."]
    elif contents.harmless:
        yield "safe", ["to read here: only its numbers were read. It may still be backdoored."]
    else:
        yield "safe", ["to load: it contains numbers and no code. It may still be backdoored."]


def _names(found: Inspection, matches: list[Match]) -> Iterator[str]:
    """A line for the encoders with the same features: their names, and what sets them apart."""
    shown = dict.fromkeys([STATISTICS, *found.differs])

    def words(match: Match) -> str:
        return ", ".join(f"{fact} {match.facts[fact]}" for fact in shown if fact in match.facts)

    for facts, same in groupby(matches, words):
        names = ", ".join(match.encoder for match in same)
        yield f"{names}: {facts}" if facts else names


def _advice(found: Inspection) -> str:
    names = " or ".join(name for group in found.likely for name in group)
    if found.sign:
        return f"The file has {found.sign}, so it is probably {names}."
    statistics = ", or state them with --normalise" if found.differs == [STATISTICS] else ""
    what = ", ".join(found.differs)
    return (
        f"The weights do not determine {what}: say which encoder it is with --encoder{statistics}."
    )


def _where(match: Match) -> tuple[str, str, list[list[str]]]:
    lists = [match.left_out, match.tied, match.also_fits, match.notes, match.key_paths]
    return match.path, match.prefix, lists


def _few(lines: Iterable[str], limit: int = 6) -> list[str]:
    shown = [*lines]
    return shown if len(shown) <= limit else [*shown[:limit], f"and {len(shown) - limit:,} more"]
