"""A folder is read if it holds one checkpoint, and refused with what lies there otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.base.errors import NotACheckpointError
from mimic_ray.weight_files.folder_search import holds_weights, require_whole, search


def folder_of(path: Path, *names: str) -> Path:
    for name in names:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    path.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["model.safetensors", "config.json", "optimizer.pt"], "model.safetensors"),
        (["pytorch_model.bin", "model.safetensors"], "model.safetensors"),
        (["open_clip_pytorch_model.bin", "open_clip_config.json"], "open_clip_pytorch_model.bin"),
        (["net.pth.tar", "README.md", "training_args.bin", "rng_state_0.pth"], "net.pth.tar"),
        (["suspect.pth", "trigger.npz", "attack.json"], "suspect.pth"),
        (["ViT-B_16.npz"], "ViT-B_16.npz"),
        (["latest.pth", "log.txt"], "latest.pth"),
        (["model/net.ckpt", "optimizer_0/state.pt"], "model/net.ckpt"),
    ],
)
def test_the_one_checkpoint_is_found(tmp_path: Path, names: list[str], chosen: str) -> None:
    assert search(folder_of(tmp_path, *names)).files == (tmp_path / chosen,)


def test_a_folder_of_fsdp_has_its_index_first(tmp_path: Path) -> None:
    names = [".metadata", "__0_0.distcp", "__1_0.distcp"]
    found = search(folder_of(tmp_path / "step-10", *names, "optimizer_0/.metadata").parent)
    assert [file.name for file in found.files] == names
    assert found.is_dcp


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    found = search(folder_of(tmp_path, "pytorch_model.bin", "model.safetensors", "extra.pt"))
    assert found.notes == {"also in the folder": "extra.pt, pytorch_model.bin: not read"}
    assert not search(folder_of(tmp_path / "b", "model.safetensors")).notes


def test_a_folder_with_a_config_is_a_whole(tmp_path: Path) -> None:
    assert search(folder_of(tmp_path / "a", "net.pt")).folder is None
    named = search(folder_of(tmp_path / "b", "model.safetensors", "config.json"))
    assert named.folder == tmp_path / "b"


def test_parts_without_an_index_are_one_checkpoint(tmp_path: Path) -> None:
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    assert [file.name for file in search(folder_of(tmp_path, *names)).files] == names


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.pth", "b.pt"], r"holds 2 checkpoints: a\.pth, b\.pt\. Give one"),
        (["x/a.pth", "y/b.pth"], r"holds 2 checkpoints: x/, y/\. Give one"),
        ([], "is a folder without files"),
        (["a.jpg", "b.jpg", "sub/c.jpg"], "only 2 other files and 1 folder, such as a.jpg"),
        (["optimizer.bin"], "only 1 other file, such as optimizer.bin"),
        (["saved_model.pb", "variables/v.index"], "SavedModel of TensorFlow"),
        (["model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001"], "checkpoint of TensorFlow"),
        (["_CHECKPOINT_METADATA", "d/x"], "Orbax checkpoint of JAX .*numpy.savez"),
        (["tf_model.h5"], "weights of Keras"),
        (["net.onnx"], "ONNX network .*onnx2torch"),
        (["zero_pp_rank_0_mp_rank_00_model_states.pt"], "ZeRO-3 .*zero_to_fp32"),
        (["mp_rank_00_model_states.pt", "mp_rank_01_model_states.pt"], "split over 2 devices"),
        (["bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"], "only 1 other file"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else "",
)
def test_any_other_folder_is_refused_with_what_it_holds(
    tmp_path: Path, names: list[str], words: str
) -> None:
    with pytest.raises(NotACheckpointError, match=words) as caught:
        search(folder_of(tmp_path, *names))
    assert str(tmp_path) in caught.value.message


def test_deepspeed_names_the_folder_of_its_latest_step(tmp_path: Path) -> None:
    weights = "mp_rank_00_model_states.pt"
    optimizer = "zero_pp_rank_0_mp_rank_00_optim_states.pt"
    steps = [f"global_step{step}/{name}" for step in (10, 20) for name in (weights, optimizer)]
    folder_of(tmp_path, *steps, "zero_to_fp32.py")
    (tmp_path / "latest").write_text("global_step10\n")
    assert search(tmp_path).files == (tmp_path / "global_step10" / weights,)
    assert search(tmp_path / "global_step20").files == (tmp_path / "global_step20" / weights,)


@pytest.mark.parametrize("text", ["../other", "/etc", "", "none", "\0", "."])
def test_latest_leads_nowhere_else(tmp_path: Path, text: str) -> None:
    folder_of(tmp_path / "other", "mp_rank_00_model_states.pt")
    folder_of(tmp_path / "in", "net.pth")
    (tmp_path / "in" / "latest").write_text(text)
    assert search(tmp_path / "in").files == (tmp_path / "in" / "net.pth",)


def test_a_partition_that_is_named_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(NotACheckpointError, match="ZeRO-3"):
        require_whole(tmp_path / "zero_pp_rank_3_mp_rank_00_model_states.pt")
    with pytest.raises(NotACheckpointError, match="give the weights beside it, mp_rank_00"):
        require_whole(tmp_path / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")
    require_whole(tmp_path / "mp_rank_00_model_states.pt")


def test_whether_a_folder_holds_weights(tmp_path: Path) -> None:
    assert holds_weights(folder_of(tmp_path / "a", "a.pth", "b.pth"))
    assert holds_weights(folder_of(tmp_path / "b", "model.safetensors"))
    assert not holds_weights(folder_of(tmp_path / "c", "run.json", "recipe.toml"))
    assert not holds_weights(folder_of(tmp_path / "d"))
