"""The output of `purify`: the location of the result, notes, and the record as JSON."""

from __future__ import annotations

import json

import pytest

from tests.cli.toy_images import run


@pytest.fixture
def purify(case, tmp_path):
    words = ["purify", "--encoder", "tiny_resnet", "--teacher", case / "teacher.pth"]
    words += ["--data", case / "images", "--out", tmp_path / "run", "--threads", 1]
    return [*words, "--set", "training.steps=2", "--set", "training.batch=8"]


def test_the_location_of_the_result_and_the_next_commands_are_printed(
    purify, tmp_path, capsys, monkeypatch
):
    # Left over from a cluster that is gone: only --address auto uses it.
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert run([*purify, "--seed", 7]) == 0
    shown = capsys.readouterr()
    assert "One worker runs in this process, without Ray; --ray starts one.\n" in shown.err
    assert "RAY_ADDRESS is 127.0.0.1:1 and not used" in shown.err
    lines = [line.split(maxsplit=1) for line in shown.out.splitlines()]
    assert shown.out.startswith("Purified in ")
    assert ["checkpoint", str(tmp_path / "run" / "export" / "teacher.pth")] in lines
    assert ["model", f"card  {tmp_path / 'run' / 'README.md'}"] in lines
    assert f"mimic_ray.load_encoder('{tmp_path / 'run'}')" in shown.out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["seed"] == 7
    # A trial of the command is not a purification.
    assert "purify next to nothing: a backdoor is probably still there" in shown.err
    assert "  fidelity    cosine 0." in shown.out
    assert 0 < record["fidelity"]["overlap"] <= 1
    assert (
        f"Fidelity: cosine {record['fidelity']['cosine']:.3f}"
        in (tmp_path / "run" / "README.md").read_text()
    )
    assert run([*purify, "--seed", 7, "--resume", "--address", "auto"]) == 1
    refused = capsys.readouterr().err
    assert refused.startswith("error: No Ray cluster answers at 127.0.0.1:1 (from RAY_ADDRESS)")
    # The second time there is nothing to do: a note, not an error.
    assert run([*purify, "--seed", 7, "--resume", "--json"]) == 0
    again = capsys.readouterr()
    assert again.err.startswith("note: ")
    result = json.loads(again.out)
    assert result["warnings"] == ["The run is already finished; nothing was done."]
    assert result["export"] == str(tmp_path / "run" / "export" / "teacher.pth")
    assert {"run", "steps", "step", "status", "train_s"} & set(result) >= {"run", "status"}
    assert run(["--quiet", *purify, "--seed", 7, "--resume"]) == 0
    assert capsys.readouterr().err == ""
