"""What long work says where nobody watches a terminal."""

from __future__ import annotations

import pytest

from mimic_ray.base.progress import Progress
from mimic_ray.cli.progress_bars import shown_progress


@pytest.fixture
def told(capsys, monkeypatch):
    def told(every: str | None, *news: Progress) -> list[str]:
        if every is None:
            monkeypatch.delenv("MIMIC_RAY_PROGRESS_S", raising=False)
        else:
            monkeypatch.setenv("MIMIC_RAY_PROGRESS_S", every)
        with shown_progress() as on_progress:
            for item in news:
                on_progress(item)
        return capsys.readouterr().err.splitlines()

    return told


STEPS = [Progress("distil", step, 600, {"loss": 0.25}, 1234.5) for step in (1, 2, 3)]


def test_without_a_terminal_nothing_is_said_of_steps(told):
    assert told(None, *STEPS) == []


def test_a_job_says_each_phase_at_once_and_its_steps_now_and_then(told):
    decode = Progress("decode", 10, 2000)
    assert told("1000", decode, decode, *STEPS) == [
        "Decoding images: 10 of 2,000",
        "Distilling: 1 of 600, loss 0.2500, 1,234 images/s",
    ]
    assert len(told("0", *STEPS)) == 3


def test_silence_is_said_once_and_so_is_its_end(told):
    silent, going = Progress("silent", 60, 600), Progress("silent", 0, 600)
    assert told(None, silent, silent, going, *STEPS) == [
        "No step for 60 s: a node or the network may be silent.",
        "The steps go on.",
    ]
