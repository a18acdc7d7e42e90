"""Whatever is wrong with what a user gives: one sentence on stderr, exit 1 or 2, nothing left."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
import zipfile
from collections import namedtuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.encoders import registry
from mimic_ray.encoders.checkpoint import sandbox
from mimic_ray.runs.commit import committed_step, latest
from mimic_ray.runs.folder import RunFolder
from mimic_ray.runs.record import read_record
from tests.cli.toy_images import run, save_checkpoint, save_images
from tests.encoders.checkpoint import crafted


@pytest.fixture(scope="module", autouse=True)
def _one_reader_process():
    """torch's import in the process that reads checkpoints is paid for once."""
    with sandbox.kept():
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def refused(capsys):
    """Runs a command line that must fail well; each of `words` must be in its one sentence."""

    def check(arguments, *words, code=None):
        ended = run(arguments)
        stderr = capsys.readouterr().err
        assert ended == code if code else ended in (1, 2), stderr
        assert stderr.startswith("error: "), stderr
        assert "Traceback" not in stderr
        assert "fault of mimic-ray" not in stderr, stderr
        assert stderr.count("\n") == 1, stderr
        for word in words:
            assert str(word) in stderr, f"{word!r} is not in: {stderr}"
        return stderr

    return check


@pytest.fixture
def purify_refused(refused, purify_arguments, tmp_path):
    """`mimic-ray purify` with these options on top; the run folder must not be there afterwards."""

    def check(options, *words, code=None, local=True):
        out = tmp_path / "place" / "run"
        place = ["--local"] if local else []
        # The last of a repeated option counts.
        sentence = refused(purify_arguments(out, *place, *map(str, options)), *words, code=code)
        assert not out.exists()
        assert not out.parent.exists() or not [*out.parent.iterdir()]
        return sentence

    return check


# The checkpoint


def net_state(name="tiny_resnet"):
    return registry.build(name).net.state_dict()


def zip_bomb():
    zeros = crafted.torch_bytes({"conv.weight": torch.zeros(4_000_000)})
    return crafted.rezipped(zeros, compression=zipfile.ZIP_DEFLATED)


def huge_safetensors():
    return crafted.safetensors_bytes({"conv.weight": crafted.entry([1 << 40], 0, 1 << 42)})


def truncated(content):
    return content[: len(content) // 2]


FILES = {
    "empty": (lambda: b"", ["empty"]),
    "truncated": (
        lambda: truncated(crafted.torch_bytes(net_state())),
        ["damaged", "again"],
    ),
    "web_page": (lambda: b"<!DOCTYPE html><html>Sign in</html>", ["web page"]),
    "lfs_pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        ["git-lfs pointer", "git lfs pull"],
    ),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), []),
    "zip_bomb": (zip_bomb, ["compressed"]),
    "huge_tensor": (
        lambda: crafted.torch_bytes({"conv.weight": crafted.view((1 << 40,), (1,))}),
        ["not what it says"],
    ),
    "huge_safetensors": (huge_safetensors, ["damaged safetensors"]),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_sound_checkpoint_is_refused_by_name(purify_refused, tmp_path, kind):
    make, words = FILES[kind]
    path = tmp_path / "suspect.pth"
    path.write_bytes(make())
    purify_refused(["--teacher", path], path, *words, code=1)


def test_a_missing_checkpoint_is_named(purify_refused, tmp_path):
    purify_refused(["--teacher", tmp_path / "none.pth"], tmp_path / "none.pth")


def test_a_folder_as_checkpoint_is_refused(purify_refused, tmp_path):
    purify_refused(["--teacher", tmp_path], tmp_path, code=1)


def test_code_in_a_checkpoint_is_refused_and_not_run(purify_refused, tmp_path):
    path, canary = tmp_path / "suspect.pth", tmp_path / "canary"
    path.write_bytes(crafted.torch_bytes({"state_dict": net_state(), "x": crafted.shell(canary)}))
    purify_refused(["--teacher", path], path, "system", code=1)
    assert not canary.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_key(purify_refused, tmp_path, value):
    state = net_state()
    state["conv1.weight"][0, 0, 0, 0] = value
    save_file(state, tmp_path / "suspect.safetensors")
    purify_refused(
        ["--teacher", tmp_path / "suspect.safetensors"], "suspect.safetensors", "conv1.weight"
    )


def test_a_wrong_encoder_name_brings_the_near_ones(purify_refused):
    purify_refused(["--encoder", "tiny_resnt"], '"tiny_resnt"', "tiny_resnet", code=2)


def test_weights_of_another_encoder_bring_the_one_that_fits(purify_refused, tmp_path):
    save_file(net_state(), tmp_path / "suspect.safetensors")
    options = ["--teacher", tmp_path / "suspect.safetensors", "--encoder", "cifar_resnet20"]
    purify_refused(options, "does not fit cifar_resnet20", "--encoder tiny_resnet", code=1)


def test_keys_that_half_fit_are_named(purify_refused, tmp_path):
    state = net_state()
    first_half = dict(list(state.items())[: len(state) // 2])
    missing = list(state)[len(state) // 2 :]
    missing = next(key for key in missing if not key.endswith("num_batches_tracked"))
    save_file(first_half, tmp_path / "half.safetensors")
    purify_refused(
        ["--teacher", tmp_path / "half.safetensors"],
        f'"{missing}" is missing',
        "mimic-ray inspect",
        code=1,
    )


def test_weights_of_another_width_are_named_with_both_shapes(purify_refused, tmp_path):
    state = {
        key: torch.cat([value, value]) if value.ndim else value
        for key, value in net_state().items()
    }
    save_file(state, tmp_path / "wide.safetensors")
    purify_refused(
        ["--teacher", tmp_path / "wide.safetensors"],
        '"conv1.weight" is [16, 3, 3, 3], wanted [8, 3, 3, 3]',
        code=1,
    )


def test_a_transformer_for_another_image_size_is_called_that(purify_refused, tmp_path):
    state = net_state("tiny_vit")
    state["pos_embed"] = torch.zeros(1, 1 + 8 * 8, 32)
    save_file(state, tmp_path / "large.safetensors")
    purify_refused(
        ["--teacher", tmp_path / "large.safetensors", "--encoder", "tiny_vit"],
        "pos_embed",
        "another image size",
        code=1,
    )


# The images


def test_a_missing_data_folder_is_named(purify_refused, tmp_path):
    purify_refused(["--data", tmp_path / "none"], tmp_path / "none", "does not exist", code=1)


def test_a_pattern_that_matches_nothing_is_named(purify_refused, tmp_path):
    purify_refused(["--data", tmp_path / "train-*.tar"], "train-*.tar", code=1)


def test_an_empty_data_folder_is_called_empty(purify_refused, tmp_path):
    (tmp_path / "empty").mkdir()
    purify_refused(["--data", tmp_path / "empty"], tmp_path / "empty", "empty", code=1)


def test_a_data_folder_of_other_files_names_one(purify_refused, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image")
    purify_refused(["--data", tmp_path / "texts"], "no images", "notes.txt", code=1)


@pytest.fixture
def shard(case, tmp_path):
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as tar:
        for image in sorted((case / "images").iterdir()):
            tar.add(image, image.name)
    return path


SHARDS = {
    "truncated": (truncated, ["is cut"]),
    "without_end": (lambda content: content[: content.rstrip(b"\0").__len__() + 1], []),
    "empty": (lambda content: b"", ["is empty"]),
    "web_page": (lambda content: b"<html>Sign in</html>".ljust(600), ["web page"]),
    "lfs_pointer": (lambda content: b"version https://git-lfs.github.com/spec/v1\n", ["git-lfs"]),
    "foreign": (lambda content: bytes(range(256)) * 4, ["not a tar"]),
    "bad_header": (lambda content: content[:512] + b"\xff" + content[513:], []),
}


@pytest.mark.parametrize("kind", SHARDS)
def test_a_shard_that_is_not_whole_is_refused_by_name(purify_refused, shard, kind):
    change, words = SHARDS[kind]
    shard.write_bytes(change(shard.read_bytes()))
    if kind == "bad_header":  # the second member's
        content = bytearray(shard.read_bytes())
        second = 512 + -(-int(content[124:135], 8) // 512) * 512
        content[second] ^= 0xFF
        shard.write_bytes(bytes(content))
    purify_refused(["--data", shard], shard, *words, code=1)


def test_a_shard_that_its_manifest_names_and_nobody_finds_is_named(
    purify_refused, case, tmp_path, capsys
):
    built = tmp_path / "set"
    words = ["shards", "build", case / "images", "--out", built, "--per-shard", 20]
    assert run(words) == 0
    capsys.readouterr()
    lost = built / "images-00001.tar"
    lost.unlink()
    purify_refused(["--data", built], lost, "missing", code=1)


def test_too_many_images_that_do_not_decode_are_counted_and_named(purify_refused, case, tmp_path):
    images = shutil.copytree(case / "images", tmp_path / "images")
    for number in (3, 4):
        (images / f"{number:03}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(32))
    purify_refused(["--data", images], "2 of 40 images", "003.png", "004.png", code=1)


def test_not_one_image_that_decodes_is_told(purify_refused, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(10):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(b"no image")
    purify_refused(["--data", tmp_path / "images"], "Not one of 10 images", code=1)


def test_fewer_images_than_a_batch_are_counted(purify_refused):
    options = ["--set", "training.batch=64"]
    purify_refused(options, "40 images", "batch of 64", "training.batch=N", code=1)


# The folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, purify_arguments):
    """A whole run that the tests only read."""
    out = tmp_path_factory.mktemp("finished") / "run"
    assert run(purify_arguments(out, "--local", steps=3)) == 0
    return out


def content_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_with_another_run_is_left_alone(refused, purify_arguments, finished):
    before = content_of(finished)
    refused(purify_arguments(finished, "--local", steps=3), finished, "--resume", "another --out")
    assert content_of(finished) == before


def test_a_folder_with_other_files_is_left_alone(refused, purify_arguments, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    refused(purify_arguments(out, "--local"), out, "thesis.tex", code=1)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_file_as_out_is_left_alone(refused, purify_arguments, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(purify_arguments(tmp_path / "file", "--local"), "is a file", "--out", code=1)
    refused(purify_arguments(tmp_path / "file" / "run", "--local"), tmp_path / "file", code=1)
    assert (tmp_path / "file").read_text() == "x"


def test_resume_with_other_images_is_refused(refused, purify_arguments, finished, case, tmp_path):
    images = shutil.copytree(case / "images", tmp_path / "images")
    (images / "000.png").write_bytes((images / "001.png").read_bytes())
    before = content_of(finished)
    words = purify_arguments(finished, "--local", "--resume", "--data", str(images), steps=3)
    refused(words, "images' fingerprint", "another --out", code=1)
    assert content_of(finished) == before


def test_resume_with_another_teacher_is_refused(refused, purify_arguments, finished, tmp_path):
    other = str(save_checkpoint(tmp_path / "other.safetensors", seed=5))
    before = content_of(finished)
    words = purify_arguments(finished, "--local", "--resume", "--teacher", other, steps=3)
    refused(words, "teacher's sha256", "another --out", code=1)
    assert content_of(finished) == before


def test_resume_with_another_recipe_is_refused(refused, purify_arguments, finished):
    before = content_of(finished)
    words = purify_arguments(finished, "--local", "--resume", steps=4)
    refused(words, "training.steps was 3, is 4 now", "another --out", code=1)
    assert content_of(finished) == before


def test_resume_of_no_run_is_refused(purify_refused, refused, purify_arguments, tmp_path):
    purify_refused(["--resume"], "is no run folder", code=1)
    (tmp_path / "empty").mkdir()
    refused(purify_arguments(tmp_path / "empty", "--local", "--resume"), "is no run folder")
    assert not [*(tmp_path / "empty").iterdir()]


@pytest.mark.parametrize("name", ["run.json", "recipe.toml"])
@pytest.mark.parametrize("content", [None, b"\xff{", b"[1, 2]"])
def test_resume_of_a_run_with_a_damaged_file_names_it(
    refused, purify_arguments, finished, tmp_path, name, content
):
    run_folder = shutil.copytree(finished, tmp_path / "run")
    if content is None:
        (run_folder / name).unlink()
    else:
        (run_folder / name).write_bytes(content)
    refused(purify_arguments(run_folder, "--local", "--resume", steps=3), run_folder, name)


# The recipe and the place of work


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "training.stepz=5"], ["training.stepz", "training.steps"]),
        (["--set", "trainnig.steps=5"], ["trainnig", "training"]),
        (["--set", "training.steps"], ["training.steps", "KEY=VALUE"]),
        (["--set", "training.steps=many"], ["training.steps"]),
        (["--set", "training.steps=0"], ["training.steps"]),
        (["--recipe", "defualt"], ['"defualt"', "default"]),
        (["--recipe", "none.toml"], ["none.toml"]),
        (["--local", "--workers", "2"], ["--local", "--workers"]),
        (["--device", "gpu"], ["gpu"]),
        (["--stepz", "5"], ["--stepz", "--help"]),
        (["--workers", "none"], ["--workers", "valid integer"]),
    ],
)
def test_a_wrong_setting_is_named_with_the_right_one(purify_refused, options, words):
    purify_refused(options, *words, code=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "3-1"], ['"3-1"', "1-3"]),
        (["--workers", "0"], ['"0"', "from 1 on"]),
        (
            ["--workers", "2", "--set", "training.batch=10", "--set", "training.accumulate=6"],
            ["training.batch = 10", "--workers 2", "training.accumulate = 6"],
        ),
        (
            [
                "--workers",
                "2",
                "--set",
                "training.batch=2",
                "--set",
                "loss.contrastive=1",
                "--set",
                "loss.negatives=local",
            ],
            ["training.batch = 2", "--workers 2", "negatives"],
        ),
        (
            ["--set", "training.accumulate=2", "--set", "loss.contrastive=1"],
            ["training.accumulate", 'loss.negatives = "local"'],
        ),
        (["--strategy", "fsdp"], ["--strategy fsdp", "--workers 2"]),
        (["--strategy", "fsdp", "--local"], ["--strategy fsdp", "--local"]),
        (["--strategy", "zero"], ['"zero"', "ddp, fsdp"]),
        (["--teacher-placement", "sharded"], ["--teacher-placement", "--strategy fsdp"]),
    ],
)
def test_workers_that_cannot_share_the_work_are_refused(purify_refused, options, words):
    purify_refused(options, *words, code=2, local=False)


def test_a_gpu_that_is_not_there_is_missed_before_anything_starts(purify_refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    options = ["--gpus-per-worker", 1]
    purify_refused(options, "1 GPU", "has none", "--gpus-per-worker", code=1, local=False)


# The disk


def full_disk(monkeypatch, out, once):
    """From when `once` is in the run folder on, nothing gets onto the disk."""
    real = os.fsync

    def fsync(descriptor):
        if (out / once).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_too_little_disk_is_seen_before_the_start(purify_refused, monkeypatch):
    usage = namedtuple("usage", "total used free")(1 << 30, (1 << 30) - (1 << 20), 1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    purify_refused([], "1 MiB free", "--out on another disk", code=1)


def test_a_disk_that_is_full_at_the_start_leaves_nothing(purify_refused, tmp_path, monkeypatch):
    full_disk(monkeypatch, tmp_path / "place", once="run")
    sentence = purify_refused([], "No space left", code=1)
    assert "--resume" not in sentence  # there is nothing to resume


# Before the first commit, and within it: the folder of the step is there, latest.json is not.
@pytest.mark.parametrize("once", ["metrics.jsonl", "checkpoints/step-000004"])
def test_a_run_goes_on_after_the_disk_was_full(
    refused, purify_arguments, tmp_path, monkeypatch, capsys, once
):
    out = tmp_path / "run"
    words = purify_arguments(out, "--local", "--commit-every", "4", steps=8)
    with monkeypatch.context() as patch:
        full_disk(patch, out, once)
        refused(words, "No space left", "--resume", code=1)
    folder = RunFolder.open(out)
    assert committed_step(folder) is None
    assert not [path for path in out.rglob("*") if "tmp-" in path.name]
    assert run([*words, "--resume"]) == 0, capsys.readouterr().err
    state = latest(folder)
    assert state is not None
    assert state.step == 8
    assert read_record(folder.record).status == "finished"


def test_a_full_disk_keeps_the_step_before(
    refused, purify_arguments, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "run"
    words = purify_arguments(out, "--local", "--commit-every", "4", steps=12)
    written = []
    real = os.fsync

    def fsync(descriptor):
        # The second commit's first file and all that follows.
        if (out / "checkpoints" / "latest.json").exists():
            written.append(descriptor)
            if len(written) > 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        refused(words, "No space left", "--resume", code=1)
    state = latest(RunFolder.open(out))
    assert state is not None
    assert state.step == 4
    assert run([*words, "--resume"]) == 0, capsys.readouterr().err


def test_a_damaged_commit_does_not_hide_why_a_run_ended(
    refused, purify_arguments, tmp_path, monkeypatch
):
    from mimic_ray.base.errors import TrainingError
    from mimic_ray.runs import training

    out = tmp_path / "run"

    def broken(folder, step, state, commit=training.commit):
        commit(folder, step, state)
        for path in (out / "checkpoints").glob("step-*/tensors.safetensors"):
            path.write_bytes(b"")
        raise TrainingError("The loss is not finite: lower the rate.")

    monkeypatch.setattr(training, "commit", broken)
    refused(purify_arguments(out, "--local", "--commit-every", "4"), "The loss is not finite")
    record = read_record(out / "run.json")
    assert (record.status, record.step) == ("failed", 4)


# The other commands


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    save_images(folder / "images", each=8, seed=0)
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
    *("--train", "TOY/images", "--test", "TOY/images", "--head-epochs", "1", "--out", "OUT"),
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
        (EVALUATE, ["clean=TOY/clean.safetensors"], ['"clean"', "NAME=PATH"]),
        (EVALUATE, ["--head", "lineal"], ["linear"]),
        (EVALUATE, ["--out", "TOY/taken"], ["TOY/taken", "--out"]),
        (EVALUATE, ["more=TOY/none.pth"], ["none.pth"]),
        (EVALUATE, ["more=TOY/taken"], ["TOY/taken"]),
        (ATTACK[:2], [], ["--encoder"]),
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
    def placed(word):
        return word.replace("TOY", str(toy)).replace("OUT", str(tmp_path / "out" / "new"))

    before = content_of(toy)
    refused([placed(word) for word in [*command, *more]], *map(placed, words))
    assert content_of(toy) == before
    assert not (tmp_path / "out").exists()
