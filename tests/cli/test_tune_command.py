"""The options of `tune`: their values in the search, and options that require each other."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from mimic_ray.search.trial import Trial
from tests.cli.toy_images import run

TUNE = ["tune", "--encoder", "tiny_resnet", "--teacher", "s3://b/t.pth", "--data", "s3://b/d"]
TUNE += ["--out", "s3://b/study"]
KNOWN = ["--train", "s3://b/train", "--test", "s3://b/test", "--trigger", "patch"]


@pytest.fixture
def searched(monkeypatch):
    """The arguments of a fake search, which returns one trial."""
    calls = []

    def tune(*arguments, **settings):
        calls.append((arguments, settings))
        trial = Trial("a", 0, "finished", {}, scores={"fidelity": 0.9})
        return SimpleNamespace(
            study="s3://b/study",
            best="s3://b/study/best.toml",
            report="s3://b/study/report.html",
            chosen=trial,
            front=[trial],
            trials=[trial],
            record=SimpleNamespace(
                notes=["No openings."], encoder="tiny_resnet", teacher="my t.pth", data="s3://b/d"
            ),
        )

    monkeypatch.setattr("mimic_ray.workflows.tune.tune", tune)
    return calls


def test_the_search_gets_the_options(searched, capsys):
    more = ["--trials", "3", "--search", "a=int(1,2)", "--workers", "2", "--concurrent-trials", "4"]
    assert run([*TUNE, *more, "--no-early-stopping"]) == 0
    ((arguments, settings),) = searched
    assert arguments == ("tiny_resnet", "s3://b/t.pth", "s3://b/d", "s3://b/study")
    assert (settings["trials"], settings["search"]) == (3, ["a=int(1,2)"])
    assert settings["early_stopping"] is False
    assert (settings["resources"].workers, settings["resources"].concurrent_trials) == (2, 4)
    assert settings["oracle"] is None
    shown = capsys.readouterr()
    assert (
        "mimic-ray purify --encoder tiny_resnet --teacher 'my t.pth' --data s3://b/d "
        "--recipe s3://b/study/best.toml --out purified"
    ) in shown.out
    assert "note: No openings." in shown.err


@pytest.mark.usefixtures("searched")
def test_json_names_the_chosen_recipe(capsys):
    assert run([*TUNE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == "s3://b/study/best.toml"


def test_the_oracle_needs_all_of_its_options_and_they_need_the_oracle(searched, capsys):
    assert run([*TUNE, "--oracle", *KNOWN]) == 2
    assert "--oracle also needs --target." in capsys.readouterr().err
    assert run([*TUNE, *KNOWN]) == 2
    assert "--train needs --oracle." in capsys.readouterr().err
    assert run([*TUNE, "--oracle", *KNOWN, "--target", "red"]) == 0
    assert searched[-1][1]["oracle"].target == "red"
