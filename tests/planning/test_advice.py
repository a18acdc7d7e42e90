"""Nothing is proposed that does not fit: `fits` here is a rule instead of a plan."""

from __future__ import annotations

from mimic_ray.planning.advice import advice
from mimic_ray.planning.hardware import find


def ask(fits, **given):
    return advice(
        fits,
        **{
            "hardware": find("t4"),
            "gpus": 2,
            "batch": 64,
            "accumulate": 1,
            "guess": 40,
            "precision": "fp32",
            "checkpointed": False,
            "settled": False,
            **given,
        },
    )


def test_every_change_alone_that_fits_is_proposed():
    def fits(batch=64, accumulate=1, checkpoint_activations=False):
        return batch / accumulate <= 33 or checkpoint_activations

    assert ask(fits) == [
        "--batch 32",  # 40 does not fit, nor 36
        "--accumulate 2 with this batch",
        "--checkpoint-activations, for one more forward",
    ]
    # T4 has no faster bf16; where a strategy was asked for, another may do.
    assert ask(lambda **changes: changes.get("strategy") == "fsdp", settled=True) == [
        "--strategy fsdp"
    ]


def test_only_where_nothing_alone_fits_several_changes_and_more_to_pay_are_proposed():
    def fits(gpus=2, gpu="t4", accumulate=1, checkpoint_activations=False, **_):
        return gpus >= 7 or gpu == "h100" or (accumulate >= 4 and checkpoint_activations)

    assert ask(fits) == [
        "--checkpoint-activations with --accumulate 4",
        "--gpus 8 --strategy fsdp --teacher sharded",
        "--gpu h100",
    ]


def test_where_nothing_fits_nothing_is_proposed():
    assert ask(lambda **changes: False) == []
