"""The student before its first step: the teacher's weights, partly renewed ones, or random ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.stages import weight_stages
from mimic_ray.method.recipe import Recipe


def with_weights(name: str, state: Mapping[str, Tensor]) -> Encoder:
    """The encoder called `name` with these weights."""
    encoder = encoder_registry.build(name)
    encoder.net.load_state_dict(dict(state))
    return encoder


def untrained(name: str, seed: int) -> Encoder:
    """The encoder with random weights that depend only on the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seeds.keys(seed, "student")))
        return encoder_registry.build(name)


def first_student(name: str, teacher_state: Mapping[str, Tensor], recipe: Recipe) -> Encoder:
    """The student before its first step."""
    seed = recipe.training.seed
    if recipe.student.start == "random":
        return untrained(name, seed)
    student = with_weights(name, teacher_state)
    if recipe.student.start == "partial":
        shares = dict.fromkeys(weight_stages(student), recipe.student.renewed)
        renew(student, untrained(name, seed), shares, seed)
    return student


@torch.no_grad()
def renew(encoder: Encoder, fresh: Encoder, shares: Mapping[str, float], seed: int) -> None:
    """Replaces entries of weights and biases by those of `fresh`, each with a probability.

    In place. `shares` holds the probability by name in the network's state; what it does not name
    stays. BCU (Pang et al., CVPR 2023) renews in this way, with shares that grow by stage.
    """
    state, other = encoder.net.state_dict(), fresh.net.state_dict()
    for name, share in shares.items():
        draws = seeds.uniform(seeds.keys(seed, "renew", name), state[name].numel())
        chosen = (draws < share).view(state[name].shape).to(state[name].device)
        state[name].copy_(torch.where(chosen, other[name].to(state[name].device), state[name]))
