"""The examples of "Add your own parts" run."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.cli.toy_images import run, save_checkpoint, save_images
from tests.docs.pages import ROOT, blocks, commands

PAGE = ROOT / "docs/how-to/own-parts.md"


def files() -> dict[str, str]:
    """The Python examples by the file name in their first line."""
    texts = [block.text for block in blocks("python", page=PAGE)]
    return {text.partition("\n")[0].removeprefix("# "): text for text in texts}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_there_is_an_example_of_every_kind():
    assert {*files()} == {
        f"my_{k}.py" for k in ("perturbations", "losses", "estimators", "triggers")
    }


@pytest.mark.parametrize("recipe", [b.text for b in blocks("toml", page=PAGE)])
def test_a_purification_uses_the_part_of_a_recipe(recipe, folder, purify_arguments):
    [name] = {*re.findall(r"my_\w+\.py:\w+", recipe)}
    (folder / "recipe.toml").write_text(recipe)
    arguments = purify_arguments(folder / "run", "--local", "--recipe", "recipe.toml", steps=2)
    assert run(arguments) == 0
    assert name in (folder / "run/recipe.toml").read_text()


@pytest.mark.parametrize("words", [w for b in blocks("sh", page=PAGE) for w in commands(b.text)])
def test_an_attack_uses_the_trigger(words, folder):
    if words[0] == "purify":
        return  # see above
    save_images(folder / "images", each=30, seed=0)
    save_checkpoint(folder / "clean.pth")
    own = ["--encoder", "tiny_resnet", "--target", "red", "--steps", "1", "--threads", "1"]
    assert run([*words, *own]) == 0
    with np.load(folder / "attacked/trigger.npz") as made:
        assert (made["tm"] == 1).all()
        assert [float(made["t"][0, 0, x, 0]) for x in (0, 7, 8, 15)] == pytest.approx(
            [0, 0, 25.5, 25.5]
        )
