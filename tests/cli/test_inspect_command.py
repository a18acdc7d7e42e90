"""`mimic-ray inspect`."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.cli.app import main
from mimic_ray.encoders import encoder_registry
from tests.support.tiny_half import two_that_fit  # noqa: F401 - a fixture
from tests.weight_files.test_joined import in_parts


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    state = encoder_registry.build("tiny_resnet").net.state_dict()
    prefixed = {f"module.{key}": tensor for key, tensor in state.items()}
    head = {"module.linear.weight": torch.zeros(10, 32)}
    torch.save({"epoch": 160, "state_dict": prefixed | head}, tmp_path / "suspect.pt")
    return tmp_path / "suspect.pt"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_table_shows_what_fits_and_what_is_not_used(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", checkpoint) == 0
    words = capsys.readouterr().out.split()
    text = " ".join(words)
    assert "state_dict: 43 tensors" in text
    assert "epoch: 160" in text
    assert "fits tiny_resnet: mean and std imagenet at state_dict, keys module.*" in text
    assert "left out: module.linear.weight" in text
    assert "no code" in text


@pytest.mark.usefixtures("two_that_fit")
def test_what_sets_encoders_apart_is_shown(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", checkpoint) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "tiny_resnet: mean and std imagenet tiny_half: mean and std half at state_dict" in text
    assert (
        "The weights do not determine mean and std: say which encoder it is with --encoder" in text
    )
    assert run("inspect", checkpoint, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differs"] == ["mean and std"]
    assert found["likely"] == [["tiny_resnet"], ["tiny_half"]]
    assert [match["facts"]["mean and std"] for match in found["fits"]] == ["imagenet", "half"]
    assert run("inspect", checkpoint, "--encoder", "tiny_half") == 0
    assert "assumed tiny_half" in " ".join(capsys.readouterr().out.split())


def test_json_has_the_same_facts_as_the_table(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", checkpoint, "--encoder", "tiny_resnet", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size_bytes"] == checkpoint.stat().st_size
    (match,) = found["fits"]
    assert match["encoder"] == "tiny_resnet"
    assert match["left_out"] == ["module.linear.weight"]
    numbers = sum(
        value.numel() for value in encoder_registry.build("tiny_resnet").net.state_dict().values()
    )
    assert found["groups"][0]["numbers"] == numbers + 320


@pytest.mark.parametrize("name", ["", "model.safetensors.index.json"])
def test_a_folder_of_several_files_is_one_checkpoint(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = encoder_registry.build("tiny_resnet").net.state_dict()
    parts = [{key: state[key]} for key in state]
    folder = in_parts(tmp_path / "hub", *parts)
    assert run("inspect", folder / name) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "bytes, sharded in 42 files" in text
    assert "config.json: vit, width 2" in text
    assert "fits tiny_resnet" in text


def test_a_file_of_a_finished_run_is_compared_with_its_checksums_also_in_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = in_parts(tmp_path / "export" / "hub", {"w": torch.ones(3)})
    (tmp_path / "SHA256SUMS").write_text(
        f"{'0' * 64}  export/hub/model-00001-of-00001.safetensors\n"
    )
    assert run("inspect", folder) == 1
    assert "not the one in SHA256SUMS" in " ".join(capsys.readouterr().err.split())


def test_an_encoder_that_does_not_fit_is_one_sentence(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", checkpoint, "--encoder", "cifar_resnet20") == 2
    shown = capsys.readouterr()
    assert "does not fit cifar_resnet20" in shown.err
    assert "use --encoder tiny_resnet" in shown.err
    assert "43 tensors" in shown.out


def test_the_error_of_an_unknown_name_suggests_similar_names(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", checkpoint, "--encoder", "tiny_resnt") == 2
    assert "tiny_resnet" in capsys.readouterr().err


def test_a_hostile_file_is_read_and_not_run(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = checkpoint.with_name("canary")

    class Hostile:
        def __reduce__(self) -> object:
            return os.system, (f"touch {canary}",)

    hostile = {**torch.load(checkpoint), "x": Hostile(), "args": argparse.Namespace(lr=0.1)}
    torch.save(hostile, checkpoint)
    assert run("inspect", checkpoint) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "fits tiny_resnet: mean and std imagenet at state_dict" in text
    assert "Loading this file the ordinary way would call posix.system('touch" in text
    assert "objects not built: argparse.Namespace" in text
    assert "no code" not in text
    assert run("inspect", checkpoint, "--json") == 0
    contents = json.loads(capsys.readouterr().out)["contents"]
    assert contents["commands"] == [f"posix.system('touch {canary}')"]
    assert contents["harmless"] == ["argparse.Namespace"]
    assert not canary.exists()


def test_only_the_weights_of_the_encoder_must_be_finite(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(checkpoint)
    content["state_dict"]["attn_mask"] = torch.full((2, 2), float("-inf"))
    torch.save(content | {"best_score": torch.tensor(float("inf"))}, checkpoint)
    assert run("inspect", checkpoint, "--encoder", "tiny_resnet") == 0
    content["state_dict"]["module.conv1.weight"][0, 0] = float("nan")
    torch.save(content, checkpoint)
    assert run("inspect", checkpoint, "--encoder", "tiny_resnet") == 1
    assert '"state_dict.module.conv1.weight" has NaN' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"<html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"PK\x03\x04 cut off", "damaged or truncated"),
    ],
)
def test_an_unreadable_file_is_one_sentence(
    tmp_path: Path, content: bytes | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "file.pt").write_bytes(content)
    assert run("inspect", tmp_path / "file.pt") == (2 if content is None else 1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert shown.err.count("\n") == 1


def test_escape_codes_and_markup_in_keys_are_printed_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = encoder_registry.build("tiny_resnet").net.state_dict()
    save_file(
        state | {"\x1b]0;owned\x07[red]key[/nonsense]\n": torch.ones(2)},
        tmp_path / "file",
        {"note": "\x1b[2J[bold]"},
    )
    assert run("inspect", tmp_path / "file") == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\\x1b]0;owned\\x07[red]key" in text
    assert "\\x1b[2J[bold]" in text
