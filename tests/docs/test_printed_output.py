"""Output that the pages show is what the commands print, apart from where lines are broken."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.cli.toy_images import run
from tests.docs.pages import ROOT, blocks

pytestmark = pytest.mark.slow


def sessions(page: str) -> list[tuple[list[str], str]]:
    """The words of each command after `$ mimic-ray` and the output that the page shows below it."""
    text = "\n".join(block.text for block in blocks("console", page=ROOT / page))
    parts = re.split(r"^\$ mimic-ray ", text, flags=re.MULTILINE)[1:]
    return [(shlex.split(part.partition("\n")[0]), part.partition("\n")[2]) for part in parts]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """vit384.pth: a ViT-S/16 for 384 pixels, as a training script with DataParallel saves it."""
    import torch

    from mimic_ray.encoders.encoder_registry import build

    folder = tmp_path_factory.mktemp("printed")
    state = build("vit_s16@384").net.state_dict()
    state = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": state}, folder / "vit384.pth")
    return folder


@pytest.mark.parametrize(("command", "shown"), sessions("docs/reference/encoders.md"))
def test_inspect_prints_what_the_page_of_encoders_shows(
    command, shown, folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")
    failed = run(command)
    assert bool(failed) == shown.startswith("error")
    printed = capsys.readouterr()
    assert words(shown) in words(printed.out + printed.err)


def test_plan_proposes_what_the_page_shows(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    [(command, shown)] = [s for s in sessions("docs/how-to/plan.md") if "t4" in s[0]]
    run(command)
    printed = capsys.readouterr()
    assert words(shown.removeprefix("...")) in words(printed.out + printed.err)
