"""Invalid recipes, settings and resources."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "training.stepz=5"], ["training.stepz", "training.steps"]),
        (["--set", "trainnig.steps=5"], ["trainnig", "training"]),
        (["--set", "training.steps"], ["training.steps", "KEY=VALUE"]),
        (["--set", "training.steps=many"], ["training.steps"]),
        (["--set", "training.steps=0"], ["training.steps"]),
        (["--seed", "-1"], ["error: --seed -1 must be"]),
        (["--seed", str(2**63)], ["error: --seed 9223372036854775808 must be"]),
        (["--recipe", "defualt"], ['"defualt"', "default"]),
        (["--recipe", "none.toml"], ["none.toml"]),
        (["--local", "--workers", "2"], ["--local", "--workers"]),
        (["--device", "gpu"], ["gpu"]),
        (["--stepz", "5"], ["--stepz", "--help"]),
        (["--workers", "none"], ["--workers", "positive integer"]),
    ],
)
def test_a_wrong_setting_is_named_with_a_correction(purify_refused, options, words):
    purify_refused(options, *words, code=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "3-1"], ["--workers 3-1", "1-3"]),
        (["--workers", "0"], ['"0"', "positive integer"]),
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
                "loss.contrastive.negatives=local",
            ],
            ["training.batch = 2", "--workers 2", "negatives"],
        ),
        (
            ["--set", "training.accumulate=2", "--set", "loss.contrastive=1"],
            ["training.accumulate", 'loss.contrastive.negatives = "local"'],
        ),
        (["--strategy", "fsdp"], ["--strategy fsdp", "--workers 2"]),
        (["--strategy", "fsdp", "--local"], ["--strategy fsdp", "--local"]),
        (["--strategy", "zero"], ['"zero"', "ddp or fsdp"]),
        (["--teacher-placement", "sharded"], ["--teacher-placement", "--strategy fsdp"]),
    ],
)
def test_workers_that_cannot_share_the_work_are_refused(purify_refused, options, words):
    purify_refused(options, *words, code=2, local=False)


def test_a_missing_gpu_is_found_before_the_start(purify_refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    options = ["--gpus-per-worker", 1]
    purify_refused(options, "1 GPU", "has 0", "--gpus-per-worker", code=1, local=False)


def test_more_workers_than_the_machine_has_are_refused_before_ray_starts(purify_refused):
    options = ["--workers", "8", "--cpus-per-worker", "99"]
    purify_refused(options, "lower --workers", code=1, local=False)
