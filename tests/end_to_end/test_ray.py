"""The same job through Ray Train on a local Ray that starts and stops by itself."""

import json
import subprocess

import pytest
import torch
from safetensors.torch import load_file

from mimic_ray.runs.folder import RunFolder
from mimic_ray.runs.metrics import read_metrics


def ray_processes() -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if "raylet" in line or "gcs_server" in line]


@pytest.fixture(scope="module")
def local_run(tmp_path_factory, mimic_ray, purify_arguments):
    out = tmp_path_factory.mktemp("local") / "run"
    assert mimic_ray(*purify_arguments(out, "--local")).returncode == 0
    return out


@pytest.fixture(scope="module")
def ray_run(tmp_path_factory, mimic_ray, purify_arguments):
    out = tmp_path_factory.mktemp("ray") / "run"
    before = ray_processes()
    done = mimic_ray(*purify_arguments(out))
    assert done.returncode == 0, done.stderr
    return out, done, before


def test_one_worker_on_ray_gives_the_weights_of_the_loop_in_process(local_run, ray_run):
    left = load_file(local_run / "student.safetensors")
    right = load_file(ray_run[0] / "student.safetensors")
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_ray_leaves_no_process_and_no_word_on_the_terminal(ray_run):
    run, done, before = ray_run
    assert ray_processes() == before
    assert done.stderr == ""
    assert "ray" not in done.stdout.replace("mimic_ray", "").replace(str(run), "").lower()
    assert not (run / ".ray").exists()


def test_two_workers_see_the_same_global_batches_and_losses_within_batch_norm(
    tmp_path, mimic_ray, purify_arguments, local_run
):
    """Halves of a batch are normalised by their own statistics, so losses agree only nearly."""
    out = tmp_path / "run"
    done = mimic_ray(*purify_arguments(out, "--workers", "2"))
    assert done.returncode == 0, done.stderr
    ours, theirs = (read_metrics(RunFolder.open(folder)) for folder in (out, local_run))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=0.3)
    assert json.loads((out / "run.json").read_text())["workers"] == 2


def test_more_workers_than_the_machine_has_are_refused_at_once(
    tmp_path, mimic_ray, purify_arguments
):
    done = mimic_ray(
        *purify_arguments(tmp_path / "run", "--workers", "8", "--cpus-per-worker", "99")
    )
    assert done.returncode == 1
    assert "lower --workers" in done.stderr
    assert not (tmp_path / "run").exists()
