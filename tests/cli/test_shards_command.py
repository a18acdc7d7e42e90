"""`mimic-ray shards`: build, info and verify."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.cli.toy_images import run


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Ten images in two class folders, and a cache folder for the test."""
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number in range(10):
        path = tmp_path / "images" / ("ab"[number % 2]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def shards(capsys):
    """Runs `mimic-ray shards`: exit code, stdout and stderr."""

    def ran(*arguments) -> tuple[int, str, str]:
        code = run(["shards", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return ran


def test_a_set_is_built_described_and_verified_and_a_damaged_shard_is_named(
    images, tmp_path, shards
):
    out = tmp_path / "set"
    code, built, _ = shards("build", images, "--out", out, "--per-shard", 4, "--side", 16, "--json")
    assert code == 0
    result = json.loads(built)
    assert (result["images"], len(result["shards"]), result["broken"]) == (10, 3, [])

    facts = json.loads(shards("info", out, "--json")[1])
    assert (facts["images"], facts["sides"], facts["formats"]) == (10, [16, 16], {"jpg": 10})
    assert facts["fingerprint"] == result["fingerprint"]
    assert facts["fingerprint"] in shards("info", out)[1]

    assert shards("verify", out) == (0, f"{out}: no problems found.\n", "")
    cut = out / "images-00001.tar"
    cut.write_bytes(cut.read_bytes()[:-1000])
    (out / "images-00002.tar").unlink()
    code, listed, _ = shards("verify", out)
    assert code == 1
    assert "images-00001.tar: is truncated" in listed
    assert "images-00002.tar: is missing" in listed
    code, listed, _ = shards("verify", out, "--json")
    assert code == 1
    assert [problem["file"] for problem in json.loads(listed)["problems"]] == [
        "images-00001.tar",
        "images-00002.tar",
    ]


def test_what_is_left_out_is_counted_in_every_form_of_output(images, tmp_path, shards):
    (images / "a" / "notes.txt").write_text("")
    (images / ".DS_Store").write_text("")
    (images / "c").symlink_to(images / "a")
    code, _, notes = shards("build", images, "--out", tmp_path / "set")
    assert code == 0
    assert f"note: Left out of {images}: 1 file (not an image): a/notes.txt.\n" in notes
    built = json.loads(shards("build", images, "--out", tmp_path / "again", "--json")[1])
    assert built["left_out"] == {
        "hidden": {"count": 1, "first": ".DS_Store"},
        "a link to a folder that is read already": {"count": 1, "first": "c"},
        "not an image": {"count": 1, "first": "a/notes.txt"},
    }
    (tmp_path / "set" / "more.tar").write_bytes(b"")
    shown = shards("info", tmp_path / "set")[1]
    assert "1 file (a tar that manifest.parquet does not list): more.tar" in shown


def test_images_above_the_limit_are_read_to_make_smaller_ones(images, tmp_path, shards):
    Image.new("1", (9_000, 6_000)).save(images / "a" / "large.png")
    arguments = ["build", images, "--side", 16, "--out", tmp_path / "set"]
    assert "--max-megapixels 178" in shards(*arguments)[2]
    code, shown, _ = shards(*arguments, "--max-megapixels", 60)
    assert (code, shown.partition(" in")[0]) == (0, "11 images")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["build", "images", "--out", "full"], 2, "full is not an empty folder"),
        (["build", "nowhere", "--out", "set"], 2, "nowhere does not exist"),
        (["build", "images", "--out", "set", "--per-shard", "0"], 2, "--per-shard 0"),
        (["build", "images", "--out", "set", "--quality", "101"], 2, "--quality 101"),
        (["build", "images", "--out", "set", "--side", "0"], 2, "--side 0"),
        (["build", "images", "--out", "set", "--max-megapixels", "60"], 2, "needs --side"),
        (["build", "images", "--out", "set", "--max-megapixels", "300"], 2, "at most 178"),
        (["build", "torchvision:CIFAR11:x", "--out", "set"], 2, "CIFAR10"),
        (["verify", "images"], 1, "contains no shards"),
        (["info", "page.tar"], 1, "web page"),
    ],
)
@pytest.mark.usefixtures("images")
def test_a_usage_error_is_one_sentence(tmp_path, monkeypatch, shards, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "page.tar").write_text("<!DOCTYPE html><html>404</html>" * 30)
    exit_code, stdout, stderr = shards(*arguments)
    assert (exit_code, stdout) == (code, "")
    assert expected in stderr
    assert stderr.count("\n") == 1
    assert not (tmp_path / "set").exists()
