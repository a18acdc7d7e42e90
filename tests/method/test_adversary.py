import pytest
import torch

from mimic_ray.base import seeds
from mimic_ray.method.adversary import UniversalAdversary
from mimic_ray.method.recipe_sections import Adversary

SIDE = 32


def make(**settings):
    return UniversalAdversary(Adversary(**settings), SIDE, seed=0, device=torch.device("cpu"))


def step(adversary, number, batch=16, target=None):
    """One step whose loss is the agreement of the images with `target`."""
    images = torch.full((batch, 3, SIDE, SIDE), 0.5)
    target = torch.randn(3, SIDE, SIDE) if target is None else target
    seen, leaf, used = adversary.attach(images, seeds.keys(1, torch.arange(batch)), number)
    loss = (seen * target).sum()
    loss.backward()
    adversary.improve(leaf.grad, used)
    return seen, loss.item()


@pytest.mark.parametrize("basis", ["pixel", "fourier", "coarse", "patch"])
def test_ascent_in_each_basis_raises_the_loss(basis):
    adversary = make(bases=(basis,), slots_per_basis=1, slots_per_step=1, share=1.0, uses=100)
    waves = torch.sin(torch.arange(SIDE) * 2 * torch.pi * 3 / SIDE).expand(3, SIDE, SIDE)
    target = waves + torch.linspace(-1, 1, SIDE)[:, None]
    losses = [step(adversary, n, target=target)[1] for n in range(12)]
    assert losses[-1] > losses[0]


@pytest.mark.parametrize("basis", ["pixel", "fourier", "coarse"])
def test_additive_perturbations_keep_their_size(basis):
    adversary = make(bases=(basis,), size=0.1)
    for number in range(20):
        step(adversary, number)
    limit = 0.1 * 1.5 * (1.5 if basis == "coarse" else 1.0)
    assert max(slot.canvas.abs().max() for slot in adversary.slots) <= limit + 1e-6


def test_a_patch_changes_its_box_and_nothing_else():
    adversary = make(bases=("patch",), slots_per_basis=1, share=1.0)
    top, left, edge = adversary.slots[0].box
    changed = (step(adversary, 0)[0] - 0.5).abs().sum(dim=(0, 1)) > 0
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[top : top + edge, left : left + edge] = True
    assert changed.any()
    assert not changed[~inside].any()


def test_slots_are_renewed_after_their_uses_and_get_a_new_size():
    adversary = make(bases=("pixel",), slots_per_basis=1, slots_per_step=1, uses=3)
    sizes = set()
    for number in range(9):
        sizes.add(adversary.slots[0].size)
        step(adversary, number)
    assert adversary.slots[0].renewals == 3
    assert len(sizes) == 3


def test_the_share_of_images_is_kept_and_depends_on_their_keys_alone():
    adversary = make(share=0.5)
    images = torch.full((400, 3, SIDE, SIDE), 0.5)
    keys = seeds.keys(7, torch.arange(400))
    whole, _, _ = adversary.attach(images, keys, 0)
    half, _, _ = adversary.attach(images[200:], keys[200:], 0)
    assert torch.equal(whole[200:], half)
    touched = (whole != images).flatten(1).any(dim=1).float().mean().item()
    assert 0.4 < touched < 0.6


def test_a_loaded_adversary_goes_on_with_the_same_bits():
    one, other = make(), make()
    torch.manual_seed(0)
    targets = torch.randn(10, 3, SIDE, SIDE)
    for number in range(5):
        step(one, number, target=targets[number])
    other.load(one.state())
    for number in range(5, 10):
        step(one, number, target=targets[number])
        step(other, number, target=targets[number])
    for left, right in zip(one.slots, other.slots, strict=True):
        assert torch.equal(left.canvas, right.canvas)
        assert torch.equal(left.momentum, right.momentum)
