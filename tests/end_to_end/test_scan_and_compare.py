"""A scan and a comparison on real images in `make test`: a public ResNet-20, attacked here.

About 45 CPU seconds together. The slow tests beside this file have the sizes of a user.
"""

from __future__ import annotations

import csv
import json

import pytest

import mimic_ray
from mimic_ray.weight_files import sandbox
from mimic_ray.workflows.demo import DATA
from tests.support.attacked_resnet20 import CLEAN, IMAGES, attack_resnet20

DEFAULT, TUNING = "default:steps=30,batch=32", "fine_tuning:steps=10,batch=32"


@pytest.fixture(scope="module", autouse=True)
def _one_reader():
    """One child process reads all checkpoints, as in the demo."""
    with sandbox.shared():
        yield


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attack") / "attacked"
    return attack_resnet20(folder, steps=70, batch=16)


def test_a_scan_finds_the_white_patch_of_a_real_encoder(attacked, tmp_path):
    out = tmp_path / "scanned"
    found = mimic_ray.scan("cifar_resnet20", attacked, IMAGES, out, reference=CLEAN, threads=1)
    assert found.verdict == "suspect"
    assert found.score > found.suspect_from
    first = found.openings[0]
    assert first.family in ("patch", "free patch")
    assert first.sent > 0.8
    # The encoder that it was made from does not answer to the same patch.
    assert first.gathering > first.reference + 0.4
    assert json.loads((out / "scan.json").read_text())["verdict"] == "suspect"
    assert "Verdict: suspect" in (out / "scan.html").read_text()


def test_a_comparison_shows_that_the_default_removes_the_backdoor(attacked, tmp_path):
    out = tmp_path / "compared"
    found = mimic_ray.compare(
        "cifar_resnet20",
        attacked,
        IMAGES,
        out,
        defences=[DEFAULT, TUNING],
        train=DATA / "head.tar.gz",
        test=DATA / "test.tar.gz",
        trigger="patch",
        target="truck",
        reference=CLEAN,
        seeds=1,
        head="linear",
        head_seeds=1,
        lasting=False,
        train_limit=500,
        test_limit=250,
        threads=1,
        yes=True,
    )
    rows = {row.defence: row for row in found.rows}
    assert [*rows] == ["suspect", "reference", DEFAULT, TUNING]
    assert [row.failure for row in found.rows] == [""] * 4
    suspect, default, tuning = (rows[name] for name in ("suspect", DEFAULT, TUNING))
    assert suspect.asr.share > 0.7
    assert suspect.asr_b.share < 0.1
    assert default.asr.share < suspect.asr.share / 2
    assert default.acc.share > suspect.acc.share - 0.25
    assert default.cosine > 0.8
    assert (default.images_seen, tuning.images_seen) == (30 * 32, 10 * 32)
    assert tuning.reached == (tuning.cosine >= default.cosine)
    with (out / "comparison.csv").open() as file:
        assert [line["defence"] for line in csv.DictReader(file)] == [*rows]
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
