"""Commands of the how-to guides that run quickly on this machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.toy_images import run, save_images
from tests.docs.pages import ROOT, blocks, commands

HOW_TO = ROOT / "docs/how-to"


def lines_of(page: str, *start: str) -> list[list[str]]:
    """The commands of a how-to guide that start with these words."""
    text = "\n".join(block.text for block in blocks("sh", page=HOW_TO / f"{page}.md"))
    return [line for line in commands(text) if line[: len(start)] == [*start]]


@pytest.mark.parametrize("page", ["aws", "gcp", "kubernetes"])
def test_rendered_cluster_files_of_a_guide_are_valid(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = lines_of(page, "cluster", "render")
    assert lines
    for line in lines:
        words = [
            word.replace("REGISTRY", "docker.io/user").replace("PROJECT", "p1") for word in line
        ]
        assert run(words) == 0
        file = words[words.index("--out") + 1]
        capsys.readouterr()
        assert run(["cluster", "validate", file]) == 0
        assert "error" not in capsys.readouterr().out


def test_the_commands_for_shards_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_images(Path("photos"), 4, 0)
    lines = [line for line in lines_of("shards", "shards") if "s3://bucket/shards" not in line]
    assert [line[1] for line in lines] == ["build", "verify", "info"]
    for line in lines:
        assert run(line) == 0
    for name in ("manifest.parquet", "set.json", "classes.json"):
        assert f"`{name}`" in (HOW_TO / "shards.md").read_text()
        assert (Path("shards") / name).exists()


def test_the_errors_of_jobs_are_those_of_the_code():
    """Each part of a message that is not "..." is a literal of the package."""
    page = (HOW_TO / "jobs.md").read_text().partition("## Errors\n")[2]
    messages = re.findall(r"^\| ([A-Z.][^|]+?) \|", page, re.MULTILINE)
    assert len(messages) == 7
    sources = [*(ROOT / "mimic_ray/jobs").glob("*.py"), ROOT / "mimic_ray/base/errors.py"]
    literals = re.sub(r'"\n *f?"', "", "".join(path.read_text() for path in sources))
    literals += literals.replace("{kind}", "Ray") + literals.replace("{kind}", "job")
    for message in messages:
        for part in filter(None, (piece.strip(' "') for piece in message.split("..."))):
            assert part in literals, message


@pytest.mark.slow
@pytest.mark.parametrize("page", ["how-to/plan.md", "explanation/planning.md"])
def test_a_plan_in_the_pages_is_what_the_command_prints(page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    [text, *_] = [b.text for b in blocks("console", page=ROOT / "docs" / page)]
    line, _, shown = text.partition("\n")
    words = line.removeprefix("$ mimic-ray ").split()
    assert words[0] == "plan"
    command = [sys.executable, "-m", "mimic_ray", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    assert printed + "\n" == shown
