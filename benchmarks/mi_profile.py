"""The profile of mutual information by layer: the authors' estimate, restated, against ours.

Theirs: for each tap, 200 epochs of a critic on the flattened map. The encoder runs again for every
batch, and once more for the evaluation after each epoch. The whole takes hours, so a few batches of
each kind are timed and multiplied; ours is timed whole. CPU time, one thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.ratio import Ratio, measure, one_thread, parser, show
from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.estimators.critic import make_critic
from mimic_ray.method.estimators.donsker_varadhan import dv_bound
from mimic_ray.method.estimators.gaussian import Gaussian
from mimic_ray.method.mi_profile import score_taps

BATCH, EPOCHS = 128, 200


def benchmark(encoder: str = "cifar_resnet20", images: int = 2000, rounds: int = 3) -> list[Ratio]:
    """CPU seconds for the profile of `images` images."""
    torch.manual_seed(0)
    network = encoder_registry.build(encoder).eval().requires_grad_(False)
    side = network.spec.input_size
    batch = torch.rand(BATCH, 3, side, side)
    batches = -(-images // BATCH)
    with one_thread():
        per_batch_s = sum(_authors_s(network, tap, batch, rounds) for tap in network.spec.taps)
        start = time.process_time()
        score_taps(network, [batch] * batches, Gaussian(), Compute("cpu", "fp32", 1), seed=0)
        ours_s = time.process_time() - start
    return [
        Ratio(
            name="profile",
            baseline_s=EPOCHS * batches * per_batch_s,
            ours_s=ours_s,
            target=500.0,
            detail=f"{encoder}, {images:,} images, one thread; baseline extrapolated from {rounds} "
            f"batches of each kind to {EPOCHS} epochs",
        )
    ]


def _authors_s(network: Encoder, tap: str, batch: Tensor, rounds: int) -> float:
    """CPU seconds to train on one batch and to evaluate it."""
    _, (tap_map,) = network(batch, taps=[tap])
    critic = make_critic(tap_map[0].numel(), network.spec.feature_width, seed=0)
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-3, weight_decay=1e-5)

    def bound() -> Tensor:
        with torch.no_grad():
            features, (tap_map,) = network(batch, taps=[tap])
        flat, shuffled = tap_map.flatten(1), features[torch.randperm(len(features))]
        return dv_bound(critic(flat, features), critic(flat, shuffled))

    def train() -> None:
        optimiser.zero_grad()
        (-bound()).backward()
        optimiser.step()

    def evaluate() -> None:
        with torch.no_grad():
            bound()

    return sum(measure({"train": train, "evaluate": evaluate}, rounds=rounds).values())


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--encoder", default="cifar_resnet20")
    options.add_argument("--images", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=3, help="batches of each kind to time")
    parsed = options.parse_args(arguments)
    show(benchmark(parsed.encoder, parsed.images, parsed.rounds), as_json=parsed.json)


if __name__ == "__main__":
    main()
