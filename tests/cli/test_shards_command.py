"""`mimic-ray shards` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Ten images in two class folders; the caches of the commands die with the test."""
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number in range(10):
        path = tmp_path / "images" / ("ab"[number % 2]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def shards(*arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mimic_ray", "shards", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_set_is_built_described_and_verified_and_a_truncated_shard_is_named(images, tmp_path):
    out = tmp_path / "set"
    done = shards("build", images, "--out", out, "--per-shard", 4, "--side", 16, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["images"], len(answer["shards"]), answer["broken"]) == (10, 3, [])

    facts = json.loads(shards("info", out, "--json").stdout)
    assert (facts["images"], facts["sides"], facts["formats"]) == (10, [16, 16], {"jpg": 10})
    assert facts["fingerprint"] == answer["fingerprint"]
    assert facts["fingerprint"] in shards("info", out).stdout

    assert shards("verify", out).returncode == 0
    cut = out / "images-00001.tar"
    cut.write_bytes(cut.read_bytes()[:-1000])
    (out / "images-00002.tar").unlink()
    bad = shards("verify", out)
    assert bad.returncode == 1
    assert "images-00001.tar: is truncated" in bad.stdout
    assert "images-00002.tar: is missing" in bad.stdout
    machine = shards("verify", out, "--json")
    assert machine.returncode == 1
    assert [problem["file"] for problem in json.loads(machine.stdout)["problems"]] == [
        "images-00001.tar",
        "images-00002.tar",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["build", "images", "--out", "full"], 1, "full is not an empty folder"),
        (["build", "nowhere", "--out", "set"], 1, "nowhere does not exist"),
        (["build", "images", "--out", "set", "--per-shard", "0"], 2, "--per-shard 0"),
        (["build", "images", "--out", "set", "--quality", "101"], 2, "--quality 101"),
        (["build", "images", "--out", "set", "--side", "0"], 2, "--side 0"),
        (["build", "torchvision:CIFAR11:x", "--out", "set"], 2, "CIFAR10"),
        (["verify", "images"], 1, "contains no shards"),
        (["info", "page.tar"], 1, "web page"),
    ],
)
@pytest.mark.usefixtures("images")
def test_wrong_use_is_one_sentence(tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "page.tar").write_text("<!DOCTYPE html><html>404</html>" * 30)
    failed = shards(*arguments)
    assert failed.returncode == code
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "set").exists()
