"""One flipped bit in each file of a run: its next reader says which file it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from mimic_ray.base.errors import MimicError
from mimic_ray.execution.export import load_encoder
from tests.cli.toy_images import run
from tests.store.short_runs import make_inputs, purify, stop_at_the_end

FLIPS = 4  # in each file


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("flipped"))


@pytest.fixture(scope="module")
def finished(place):
    assert purify(place, place / "finished") == 0
    return place / "finished"


@pytest.fixture(scope="module")
def stopped(place):
    stop_at_the_end(place, place / "stopped")
    return place / "stopped"


def flipped(whole: Path, name: str, seed: int) -> Path:
    """A copy in which one bit of that file is another."""
    copy = whole.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    content = bytearray((copy / name).read_bytes())
    # Rows after the committed step, the fourth, are thrown away and made again.
    counts = b"".join(content.splitlines(True)[:4]) if name == "metrics.jsonl" else content
    bit = Random(f"{name} {seed}").randrange(8 * len(counts))
    content[bit // 8] ^= 1 << bit % 8
    (copy / name).write_bytes(content)
    return copy


def names(folder: Path) -> list[str]:
    """All files but progress.json and TensorBoard's, which are for showing only."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in found if not name.startswith(("progress.json", "tensorboard/")))


def test_resuming_a_finished_run_names_the_flipped_file(place, finished, capsys):
    # Checkpoints are of no use any more, and are not read.
    told = [name for name in names(finished) if not name.startswith("checkpoints")]
    assert {"run.json", "student.safetensors", "metrics.parquet", "README.md"} <= {*told}
    for name in told:
        for seed in range(FLIPS):
            code = purify(place, flipped(finished, name, seed), "--resume")
            sentence = capsys.readouterr().err
            assert code in (1, 2), f"{name}: went on"
            # A flip within the list of sums shows at the file that it speaks of.
            assert name in sentence or name in ("SHA256SUMS", "recipe.toml"), sentence
            assert "Traceback" not in sentence
            assert "fault of mimic-ray" not in sentence


def test_resuming_a_stopped_run_names_the_flipped_file(place, stopped, capsys):
    told = [name for name in names(stopped) if "000002" not in name]
    assert "checkpoints/step-000004/tensors.safetensors" in told
    for name in told:
        for seed in range(FLIPS):
            code = purify(place, flipped(stopped, name, seed), "--resume")
            sentence = capsys.readouterr().err
            if code == 0:
                assert name == "recipe.toml", f"{name}: went on"  # in a comment
                continue
            assert Path(name).name in sentence or "This is not the run" in sentence, sentence
            assert "Traceback" not in sentence
            assert "fault of mimic-ray" not in sentence


@pytest.mark.parametrize("name", ["student.safetensors", "encoder.json", "run.json"])
def test_loading_the_encoder_names_the_flipped_file(finished, name):
    for seed in range(FLIPS):
        with pytest.raises(MimicError, match=name):
            load_encoder(flipped(finished, name, seed))


def test_inspecting_a_result_names_the_flipped_file(finished, capsys):
    for name in ("student.safetensors", "export/teacher.safetensors"):
        question = ["--encoder", "tiny_resnet"]
        assert run(["inspect", finished / name, *question]) == 0
        for seed in range(FLIPS):
            capsys.readouterr()
            assert run(["inspect", flipped(finished, name, seed) / name, *question]) == 1
            assert name in capsys.readouterr().err
