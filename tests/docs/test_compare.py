"""The defence in "Compare defences" runs."""

from __future__ import annotations

import pytest

from mimic_ray.defences.defence_registry import DEFENCES
from tests.cli.toy_images import run, save_checkpoint, save_images
from tests.docs.pages import ROOT, blocks, commands

PAGE = ROOT / "docs/how-to/compare.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DEFENCES._members, "default", "tests.support.toy_defences:default")
    [block] = blocks("python", page=PAGE)
    (tmp_path / block.text.partition("\n")[0].removeprefix("# ")).write_text(block.text)
    save_images(tmp_path / "images", each=24, seed=0)
    save_checkpoint(tmp_path / "suspect.pth")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_comparison_takes_the_defence_of_the_page(capsys):
    [words] = [w for b in blocks("sh", page=PAGE) for w in commands(b.text) if "my_def" in str(w)]
    assert run([*words, "--encoder", "tiny_resnet", "--seeds", "1", "--threads", "1"]) == 0
    text = "".join(capsys.readouterr().out.split())
    assert "my_defences.py:shrink" in text
    assert "share=" in text
