"""Our profile against the authors' mutual information estimate, restated, in one process.

Theirs: for each tap, 200 epochs of a critic on the flattened map, the encoder run anew for every
batch, and once more for the evaluation after each epoch. A few batches of each kind are timed and
multiplied out, since the whole takes hours; ours is timed whole. Process time, one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.method.estimators.critic import make_critic
from mimic_ray.method.estimators.donsker_varadhan import dv_bound
from mimic_ray.method.estimators.gaussian import Gaussian
from mimic_ray.method.mi_profile import score_taps
from mimic_ray.workflows.bench_ratio import Ratio

BATCH, EPOCHS = 128, 200


def bench_mi(encoder: str = "cifar_resnet20", images: int = 2000, repeats: int = 3) -> list[Ratio]:
    """CPU seconds for the profile of `images` images."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        network = encoder_registry.build(encoder).eval().requires_grad_(False)
        side = network.spec.input_size
        batch = torch.rand(BATCH, 3, side, side)
        batches = -(-images // BATCH)
        theirs = 0.0
        for tap in network.spec.taps:
            _, (tap_map,) = network(batch, taps=[tap])
            critic = make_critic(tap_map[0].numel(), network.spec.feature_width, seed=0)
            optimiser = torch.optim.Adam(critic.parameters(), lr=1e-3, weight_decay=1e-5)

            def epoch_batch(tap: str = tap, critic: object = critic) -> Tensor:
                with torch.no_grad():
                    features, (tap_map,) = network(batch, taps=[tap])
                flat, other = tap_map.flatten(1), features[torch.randperm(BATCH)]
                return dv_bound(critic(flat, features), critic(flat, other))  # type: ignore[operator]

            def train(optimiser: torch.optim.Optimizer = optimiser) -> None:
                optimiser.zero_grad()
                (-epoch_batch()).backward()
                optimiser.step()

            def evaluate() -> None:
                with torch.no_grad():
                    epoch_batch()

            each = _median_s(train, repeats) + _median_s(evaluate, repeats)
            theirs += EPOCHS * batches * each
        compute = Compute("cpu", "fp32", 1)
        start = time.process_time()
        score_taps(network, [batch] * batches, Gaussian(), compute, seed=0)
        ours = time.process_time() - start
    finally:
        torch.set_num_threads(threads)
    detail = (
        f"{encoder}, {images:,} images, one thread; theirs multiplied out from {repeats} batches "
        f"of each kind to {EPOCHS} epochs"
    )
    return [Ratio("profile", plain_s=theirs, ours_s=ours, wanted=500.0, detail=detail)]


def _median_s(work: Callable[[], None], repeats: int) -> float:
    work()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return sorted(taken)[len(taken) // 2]
