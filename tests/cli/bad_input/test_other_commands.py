"""Invalid input of the other commands."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cli.toy_images import content_of, save_checkpoint, save_images


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    save_images(folder / "images", each=8, seed=0)
    save_images(folder / "test", each=8, seed=1)
    save_checkpoint(folder / "clean.safetensors")
    keep = np.ones((1, 16, 16, 3))
    np.savez(folder / "small.npz", tm=keep, t=np.zeros_like(keep))
    (folder / "page.pth").write_bytes(b"<html>Sign in</html>")
    (folder / "page.tar").write_bytes(b"<html>Sign in</html>")
    (folder / "taken").mkdir()
    (folder / "taken" / "mine.txt").write_text("x")
    return folder


INSPECT = ["inspect"]
PROFILE = [
    *("profile", "--encoder", "tiny_resnet", "--teacher", "TOY/clean.safetensors"),
    *("--data", "TOY/images", "--threads", "1", "--out", "OUT"),
]
EVALUATE = [
    *("evaluate", "clean=TOY/clean.safetensors", "--encoder", "tiny_resnet"),
    *("--train", "TOY/images", "--test", "TOY/test", "--head-epochs", "1", "--out", "OUT"),
]
ATTACK = [
    *("attack", "badencoder", "--encoder", "tiny_resnet", "--teacher", "TOY/clean.safetensors"),
    *("--data", "TOY/images", "--trigger", "patch", "--steps", "1", "--batch", "8"),
    *("--precision", "fp32", "--out", "OUT", "--target", "red"),
]
BUILD = ["shards", "build", "TOY/images", "--out", "OUT"]


@pytest.mark.parametrize(
    ("command", "more", "words"),
    [
        (INSPECT, [], ["file", "mimic-ray inspect --help"]),
        (INSPECT, ["TOY/none.pth"], ["none.pth"]),
        (INSPECT, ["TOY/page.pth"], ["web page"]),
        (INSPECT, ["TOY/clean.safetensors", "--encoder", "tiny_resnt"], ["tiny_resnet"]),
        (INSPECT, ["TOY/clean.safetensors", "--encoder", "cifar_resnet20"], ["tiny_resnet"]),
        (PROFILE, ["--data", "TOY/none"], ["TOY/none"]),
        (PROFILE, ["--data", "TOY/page.tar"], ["web page"]),
        (PROFILE, ["--out", "TOY/taken"], ["TOY/taken", "--out"]),
        (PROFILE, ["--recipe", "oficial"], ["official"]),
        (PROFILE, ["--teacher", "TOY/page.pth"], ["web page"]),
        (EVALUATE, ["--trigger", "patch"], ["--target"]),
        (EVALUATE, ["--trigger", "pach", "--target", "red"], ['"pach"', "patch"]),
        (EVALUATE, ["--trigger", "patch", "--target", "yellow"], ["yellow", "red"]),
        (EVALUATE, ["--trigger", "TOY/small.npz", "--target", "red"], ["16x16", "32x32"]),
        (EVALUATE, ["clean=TOY/clean.safetensors"], ['"clean"', "twice"]),
        (EVALUATE, ["--head", "lineal"], ["linear"]),
        (EVALUATE, ["--out", "TOY/taken"], ["TOY/taken", "--out"]),
        (EVALUATE, ["more=TOY/none.pth"], ["none.pth"]),
        (EVALUATE, ["more=TOY/taken"], ["TOY/taken"]),
        (ATTACK[:2], [], ["--teacher"]),
        (ATTACK, ["--trigger", "TOY/small.npz"], ["16x16", "32x32"]),
        (ATTACK, ["--trigger", "TOY/none.npz"], ["none.npz"]),
        (ATTACK, ["--trigger", "TOY/page.pth"], ["page.pth"]),
        (ATTACK, ["--target", "yellow"], ["yellow", "red"]),
        (ATTACK, ["--batch", "64"], ["24 images", "--batch"]),
        (ATTACK, ["--out", "TOY/taken"], ["TOY/taken", "--out"]),
        (ATTACK, ["--references", "TOY/none.npz"], ["none.npz"]),
        (["attack", "badnets"], [], ["badnets"]),
        (BUILD, ["--per-shard", "0"], ["--per-shard 0"]),
        (BUILD, ["--out", "TOY/taken"], ["TOY/taken", "--out"]),
        (BUILD, ["TOY/none"], ["TOY/none"]),
        (["shards", "verify", "TOY/none"], [], ["TOY/none"]),
        (["shards", "verify", "TOY/taken"], [], ["TOY/taken"]),
        (["shards", "info", "TOY/page.tar"], [], ["web page"]),
        (["shards", "pack"], [], ["pack", "mimic-ray shards --help"]),
        (["shards", "build", "TOY/images"], [], ["--out"]),
        (["purfy"], [], ["purify"]),
    ],
)
def test_every_command_refuses_with_one_sentence(refused, toy, tmp_path, command, more, words):
    def resolved(word):
        return word.replace("TOY", str(toy)).replace("OUT", str(tmp_path / "out" / "new"))

    before = content_of(toy)
    refused([resolved(word) for word in [*command, *more]], *map(resolved, words))
    assert content_of(toy) == before
    assert not (tmp_path / "out").exists()
