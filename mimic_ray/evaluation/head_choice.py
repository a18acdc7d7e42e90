"""How a head is chosen: a kind, the one beside the encoder, or a file. Imports no torch."""

from __future__ import annotations

from pathlib import Path

# The name of the classifier that lies beside the encoder in its file.
OWN = "own"


def is_head_file(head: str | Path) -> bool:
    """Whether `head` is a file or its address. A name without "/" and "." is a kind of head."""
    return isinstance(head, Path) or "/" in head or "." in head


def head_label(head: str | Path) -> str:
    """The name of a head in tables: its kind, or the name of its file without the folder."""
    if not is_head_file(head):
        return str(head)
    return str(head).partition("?")[0].rstrip("/").rpartition("/")[2]
