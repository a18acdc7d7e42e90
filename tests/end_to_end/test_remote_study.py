"""A search whose study is in object storage: driver and trials share no folder."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.storage import open_storage
from mimic_ray.store.progress_file import read_progress
from mimic_ray.store.study_folder import read_trials
from mimic_ray.store.study_store import open_study
from tests.end_to_end.processes import start, wait_until
from tests.store.flaky_s3 import door
from tests.support import local_s3

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(scope="module")
def address(s3_server, tmp_path_factory):
    """Of a new bucket, in an environment that knows its server and has a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.items():
            patch.setenv(name, value)
        patch.setenv("MIMIC_RAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        local_s3.create_bucket("studies")
        yield "s3://studies"


@pytest.fixture(scope="module")
def arguments(case, tmp_path_factory):
    """The arguments of a search, one trial after the other, into `out`."""
    images = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(80):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(images / f"{number:03}.png")

    def made(out: str | Path, *more: str, steps: int = 12) -> list[str]:
        return [
            *("tune", "--encoder", "tiny_resnet", "--teacher", str(case / "teacher.pth")),
            *("--data", str(images), "--out", str(out), "--held-out", "0.4"),
            *("--concurrent-trials", "1"),
            *("--trials", "2", "--set", f"training.steps={steps}", "--no-early-stopping"),
            *("--set", "training.batch=8", "--set", "training.precision=fp32", *more),
        ]

    return made


@pytest.fixture(scope="module")
def finished(mimic_ray, address, arguments):
    done = mimic_ray(*arguments(f"{address}/study"))
    assert done.returncode == 0, done.stderr
    return f"{address}/study", done.stdout


def names(study: str) -> set[str]:
    return {found.name for found in open_storage(study).list()}


def trials_of(study: str) -> list:
    opened = open_study(study, "test")
    opened.fetch()
    try:
        return read_trials(opened.folder)
    finally:
        opened.close()


def test_the_whole_study_is_at_its_address_and_nowhere_else(finished):
    study, stdout = finished
    assert f"{study}/best.toml" in stdout
    found = names(study)
    tops = {"study.json", "best.toml", "trials.parquet", "report.html", "front.png", "ray.log"}
    assert tops <= found
    for trial in trials_of(study):
        for name in ("trial.json", "recipe.toml", "student.safetensors", "metrics.parquet"):
            assert f"trials/{trial.id}/{name}" in found
    left = ("checkpoints", "metrics.jsonl", ".ray", "tuner.pkl", "validate", "student.pt")
    assert not [name for name in found if any(part in name for part in left)]
    assert sum("tfevents" in name for name in found) == 2
    assert not [*(cache_dir() / "runs").rglob("*")]


def test_a_study_on_storage_equals_one_in_a_folder(finished, mimic_ray, arguments, tmp_path):
    study, _ = finished
    done = mimic_ray(*arguments(tmp_path / "study"))
    assert done.returncode == 0, done.stderr
    here, there = trials_of(str(tmp_path / "study")), trials_of(study)
    assert [t.id for t in here] == [t.id for t in there]
    assert [t.scores for t in here] == [t.scores for t in there]
    best = open_storage(study).read_bytes("best.toml")
    assert (tmp_path / "study" / "best.toml").read_bytes() == best


def test_the_outcome_can_be_read_from_another_machine(finished):
    live = read_progress(finished[0])
    assert (live.status, live.phase, live.step, live.steps) == ("finished", "search", 2, 2)


def test_purify_takes_the_recipe_from_storage(finished, mimic_ray, arguments, tmp_path):
    words = arguments(tmp_path)
    taken = words[words.index("--encoder") : words.index("--out")]
    recipe = f"{finished[0]}/best.toml"
    out = ("--out", str(tmp_path / "run"), "--local", "--recipe", recipe)
    done = mimic_ray("purify", *taken, *out)
    assert done.returncode == 0, done.stderr


def test_another_study_and_foreign_files_are_refused(finished, mimic_ray, arguments, address):
    study, _ = finished
    before = names(study)
    done = mimic_ray(*arguments(study))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "holds another study" in done.stderr
    other = mimic_ray(*arguments(study, "--resume", "--held-out", "0.5"))
    assert "not the study that was started: --held-out" in other.stderr
    assert names(study) == before
    open_storage(f"{address}/foreign").write("notes.txt", b"mine")
    done = mimic_ray(*arguments(f"{address}/foreign"))
    assert 'holds "notes.txt"' in done.stderr
    assert names(f"{address}/foreign") == {"notes.txt"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_search_is_resumed(address, arguments, mimic_ray, number):
    """Ctrl-C commits the running trial; after a kill it continues from its last checkpoint."""
    study = f"{address}/ended-{number}"
    words = arguments(study, "--trials", "1", steps=800)
    process = start(study, words)
    wait_until(lambda: any("latest.json" in name for name in names(study)), process)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
        process.communicate()
    else:
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 128 + number, stderr
        assert "--resume" in stderr
        assert read_progress(study).status == "stopped"
    (interrupted,) = [trial for trial in trials_of(study) if trial.status == "running"]
    committed = open_storage(study).read_bytes(f"trials/{interrupted.id}/checkpoints/latest.json")
    step = json.loads(committed)["steps"][0]["step"]
    done = mimic_ray(*words, "--resume")
    assert done.returncode == 0, done.stderr
    ended = {trial.id: trial for trial in trials_of(study)}
    assert [trial.status for trial in ended.values()] == ["finished"]
    assert ended[interrupted.id].step == 800 > step > 0
    assert not [name for name in names(study) if "checkpoints" in name]


def test_an_outage_of_the_storage_costs_no_trial(address, s3_server, arguments, monkeypatch):
    with door(s3_server["AWS_ENDPOINT_URL"]) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.endpoint)
        study = f"{address}/away"
        process = start(study, arguments(study, steps=800))
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server["AWS_ENDPOINT_URL"])
        wait_until(lambda: any("latest.json" in name for name in names(study)), process)
        line.away = True
        time.sleep(40)
        line.away = False
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert [trial.status for trial in trials_of(study)] == ["finished", "finished"]
