"""The example of a user's own file in a module's docstring, written to a folder as files."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from types import ModuleType


def write_example(module: ModuleType, folder: Path) -> list[Path]:
    """The blocks of the docstring that begin with `# name.py` or `# name.toml`, as files."""
    text = "\n".join(
        line for line in (module.__doc__ or "").splitlines() if not line or line.startswith("    ")
    )
    blocks = re.split(r"^# (\w+\.(?:py|toml))$", dedent(text), flags=re.MULTILINE)[1:]
    written = []
    for name, content in zip(blocks[::2], blocks[1::2], strict=True):
        path = folder / name
        path.write_text(content.replace('\\"', '"').strip() + "\n")
        written.append(path)
    return written
