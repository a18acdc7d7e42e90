"""The commands of the tutorial run in the order of the page, with fewer steps and images."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mimic_ray
from mimic_ray.cli.app import main
from tests.docs.pages import ROOT, blocks, commands

PAGE = ROOT / "docs/tutorial.md"
FILES = ROOT / "docs/reference/files.md"
# What the page shortens to `NAME.csv ...` and `NAME.png ...`.
ENDINGS = {"csv": ("csv", "tex", "md"), "png": ("png", "pdf", "svg")}
DRAWN = ("json", *ENDINGS["csv"], *ENDINGS["png"])
# Listed, but not written by the commands of the tutorial as they run here: without Ray, and too
# short for a scan.
ELSEWHERE = {
    *(f"scan.{ending}" for ending in (*DRAWN, "html")),
    *("metrics.jsonl", "ray.log"),
    *(f"evaluation.{ending}" for ending in DRAWN),
}
MODEL_CARD = ROOT / "docs/how-to/model-card.md"
DEMO = Path(mimic_ray.__path__[0]) / "demo_data"
# What makes each command short; all else is as in the page.
SHORTER = {
    "attack": ["--steps", "2", "--batch", "8", "--limit", "200", "--threads", "1"],
    "scan": ["--effort", "quick", "--threads", "1"],
    "purify": [
        *("--local", "--threads", "1", "--set", "mutual_information.images=32"),
        *("--set", "training.steps=3", "--set", "training.batch=8"),
    ],
    "evaluate": [
        "--train-limit",
        "100",
        "--test-limit",
        "50",
        "--head-epochs",
        "1",
        "--threads",
        "1",
    ],
}


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main([*words, *SHORTER.get(words[0], [])])
    return int(end.value.code or 0)


def documented_files(section: str) -> set[str]:
    """The names in the first column of a table of the page of files."""
    text = FILES.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \| (.+) \|$", text, re.MULTILINE)
    found = set()
    for first, second in rows:
        names = re.findall(r"`([^`]+)`", first)
        if names == [names[0]] and names[0].endswith("/"):  # the second column lists its files
            names = [names[0] + name for name in re.findall(r"`([\w.-]+)`", second)]
        found |= {each for name in names for each in expanded(name)}
    return found


def expanded(name: str) -> list[str]:
    """`loss.png ...` -> `loss.png`, `loss.pdf`, `loss.svg`."""
    stem, dots, _ = name.partition(" ...")
    if not dots:
        return [name]
    stem, _, ending = stem.rpartition(".")
    return [f"{stem}.{each}" for each in ENDINGS[ending]]


def written_files(folder: Path) -> set[str]:
    """All files of a folder, with the name and the step that the page uses as examples."""
    paths = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    paths = {re.sub(r"step-\d+", "step-000120", path) for path in paths}
    paths = {re.sub(r"tfevents\..*", "tfevents.TIME", path) for path in paths}
    return {re.sub(r"^(export/)?(suspect|resnet20-cifar10)\.\w+$", r"\1NAME", p) for p in paths}


def shell() -> str:
    return "\n".join(block.text for block in blocks("sh", page=PAGE))


@pytest.mark.slow
def test_the_tutorial_runs_from_the_suspect_file_to_the_loaded_encoder(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    lines = [[word.replace("$DEMO", str(DEMO)) for word in line] for line in commands(shell())]
    assert [line[0] for line in lines] == [
        *("attack", "inspect", "scan", "purify", "evaluate", "evaluate")
    ]

    assert run(lines[0]) == 0
    assert "cp attacked/resnet20-cifar10.th suspect.pth" in shell()
    Path("attacked/resnet20-cifar10.th").rename("suspect.pth")
    capsys.readouterr()
    assert run(lines[1]) == 0
    assert "cifar_resnet20" in capsys.readouterr().out

    assert run(lines[2]) == 4, "a quick scan cannot tell"
    assert Path("scanned/scan.png").exists()
    for line in lines[3:]:
        assert run(line) == 0
    for named in re.findall(r"`(purified/[\w./]+)`", PAGE.read_text()):
        assert (tmp_path / named).exists(), named
    for section in ("Kinds of trigger that the recipe imitates", "What was not measured"):
        assert section in PAGE.read_text().replace("\n", " ")
        assert section in Path("purified/README.md").read_text()
    card = Path("purified/README.md").read_text()
    explained = re.findall(r"^\| ([A-Z][\w ]+?) \|", MODEL_CARD.read_text(), re.MULTILINE)
    assert len(explained) == 7
    for section in explained:
        assert re.search(rf"^##+ {section}$", card, re.MULTILINE), section
    assert Path("evaluation/evaluation.json").exists()
    assert written_files(Path("purified")) == documented_files("Run folder") - ELSEWHERE
    assert written_files(Path("attacked")) | {"NAME"} == documented_files("Attack folder")
    of_both = documented_files("Evaluation and profile folders")
    evaluated = {name for name in of_both if name.startswith("evaluation.")}
    assert written_files(Path("evaluation")) == evaluated
    assert mimic_ray.load_encoder("purified").spec.name == "cifar_resnet20"
