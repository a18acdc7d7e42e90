"""Where a command says that it runs."""

from __future__ import annotations

import socket

import pytest

from mimic_ray.base.progress import Progress
from mimic_ray.base.resources import Resources
from mimic_ray.cli.run_location_note import run_location_notes, with_run_location_note


@pytest.fixture(autouse=True)
def _no_cluster_in_the_environment(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_run_of_one_worker_says_that_it_uses_no_ray():
    assert run_location_notes(Resources()) == [
        "One worker runs in this process, without Ray; --ray starts one."
    ]
    assert run_location_notes(Resources(), can_be_in_process=False) == []
    for chosen in (Resources(local=True), Resources(ray=True), Resources(workers=2)):
        assert run_location_notes(chosen) == []


def test_a_variable_that_is_not_used_is_named(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert run_location_notes(Resources(workers=2)) == [
        "RAY_ADDRESS is 10.0.0.1:6379 and not used: --address auto uses it."
    ]
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    assert run_location_notes(Resources(workers=2)) == []


def test_the_cluster_of_auto_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        found = run_location_notes(Resources(address="auto"))
    assert found == [f"Ray cluster: {address} (from RAY_ADDRESS)"]


def test_the_note_comes_once_and_only_when_the_work_begins(capsys):
    seen = []
    report = with_run_location_note(seen.append, Resources())
    assert capsys.readouterr().err == ""
    report(Progress("decode", 0, 2))
    report(Progress("decode", 1, 2))
    assert capsys.readouterr().err.count("without Ray") == 1
    assert [progress.done for progress in seen] == [0, 1]
