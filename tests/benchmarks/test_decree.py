"""DECREE on a planted backdoor: the mask becomes small, and without one it does not."""

from __future__ import annotations

from benchmarks.decree import decree
from mimic_ray.base.devices import Compute
from mimic_ray.evaluation.suspicion.frozen import frozen
from tests.evaluation.suspicion.planted import encoder, images

CPU = Compute("cpu", "fp32", 1)


def inverted(strength, epochs=40):
    with frozen(encoder(strength), CPU) as suspect:
        return decree(suspect, images(64), CPU, epochs=epochs, batch=32)


def test_a_planted_square_needs_a_smaller_mask_than_a_clean_encoder_does():
    planted, clean = inverted(200.0), inverted(0.0)
    assert planted.size < 0.5 * clean.size
    assert 0 < planted.size < 0.4


def test_no_mask_counts_where_no_batch_reaches_the_cosine():
    # One epoch has two steps, from a mask of about three quarters.
    assert inverted(0.0, epochs=1).size <= 1.0
    assert inverted(0.0, epochs=1).epochs == 1


def test_the_result_repeats():
    first, second = inverted(200.0, epochs=4), inverted(200.0, epochs=4)
    assert (first.size, first.epochs) == (second.size, second.epochs)
