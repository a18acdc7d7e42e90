"""Runs `mimic-ray demo` and writes what it prints as a picture.

python tools/record_demo.py docs/assets/demo.svg
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100


def picture(command: str, printed: str) -> str:
    """An SVG of a terminal with a command and what it printed."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    text = Text("\n".join(line.rstrip() for line in printed.splitlines()))
    text.highlight_regex(r"(?m)^  ok ", "green")
    text.highlight_regex(r"(?m)^  (reference|attacked|purified) ", "bold")
    console.print(Text(f"$ {command}", style="bold"))
    console.print(text, soft_wrap=False)
    svg = console.export_svg(title=command, unique_id="demo")
    # Rich's own format loads a font from the network.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "Menlo")


def main(target: Path) -> None:
    """Runs the demo in a temporary folder and writes the picture."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "mimic_ray", "demo"],
            cwd=folder,
            # A pipe has neither colours nor progress bars; nor lines of progress with this.
            env={**os.environ, "COLUMNS": str(WIDTH), "MIMIC_RAY_PROGRESS_S": "inf"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(picture("mimic-ray demo", done.stdout), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
