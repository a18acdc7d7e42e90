"""The Markdown pages of the project and the code blocks in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_SUBSTITUTION = re.compile(r'"?\$\([^)]*\)"?')


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    text: str


def pages() -> list[Path]:
    """All pages that describe the software as it is today."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("benchmarks/*.md")]
    return sorted(path for path in found if "measurements" not in path.parts)


def blocks(*languages: str, page: Path | None = None) -> list[Block]:
    """The code blocks of one page, or of all, in these languages."""
    return [
        Block(path.relative_to(ROOT).as_posix(), language, text)
        for path in ([page] if page else pages())
        for _, language, text in _BLOCK.findall(path.read_text(encoding="utf-8"))
        if language in languages
    ]


def commands(text: str) -> list[list[str]]:
    """The words of each `mimic-ray` command in a shell block; comments and prompts are left out."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found = []
    for line in joined.splitlines():
        line = _SUBSTITUTION.sub("SUBSTITUTED", line.strip().removeprefix("$ "))
        if line.startswith("mimic-ray "):
            words = shlex.split(line, comments=True)
            found.append([word for word in words[1:] if word != "&"])
    return found
