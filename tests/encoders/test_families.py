"""Every family at a small size in all steps of a distillation.

Small means few channels, blocks and pixels, if the constructor of the family allows it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import clip_resnet, clip_vit, conv_builder, encoder_registry
from mimic_ray.encoders.blocks import blocks, checkpoint_activations
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.normalisation import CLIP, IMAGENET
from mimic_ray.method.losses.attention import attention_loss
from mimic_ray.method.losses.clone import clone_loss
from mimic_ray.method.losses.contrastive import contrastive_loss
from mimic_ray.method.mi_profile import profile
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.recipe_sections import MutualInformation

SIDE = 32
RESNET = {"layers": (2, 2, 2, 2), "channels": (32, 32, 64, 64)}
TRANSFORMER = {"img_size": SIDE, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}


def of_timm(name: str, **small: object) -> Encoder:
    import timm

    from mimic_ray.encoders import timm_family

    net = timm.create_model(name, pretrained=False, num_classes=0, **small)
    return timm_family.encoder(name, net, SIDE, IMAGENET.mean, IMAGENET.std)


def of_variant(name: str, **settings: object) -> Encoder:
    from mimic_ray.encoders import timm_family, vit_variants

    net = getattr(vit_variants, name)(num_classes=0, **settings, **TRANSFORMER)
    return timm_family.encoder(name, net, SIDE, IMAGENET.mean, IMAGENET.std)


def small_torchvision_vit() -> Encoder:
    import torchvision

    from mimic_ray.encoders import torchvision_vit

    net = torchvision.models.VisionTransformer(
        image_size=SIDE, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
    )
    net.heads = torch.nn.Identity()
    spec = Spec("vit_b_16", 32, SIDE, IMAGENET.mean, IMAGENET.std, ("block0", "block1"))
    return Encoder(spec, net, torchvision_vit.run)


def small_clip_resnet() -> Encoder:
    net = clip_resnet.ClipResnet(width=8, embedding=24, size=SIDE)
    return conv_builder.encoder("clip_rn50", net, SIDE, CLIP)


def small_clip_vit() -> Encoder:
    net = clip_vit.ClipVit(clip_vit.Tower(8, 64, 2, heads=1, embedding=24), SIDE)
    spec = Spec("clip_vit_b16", 24, SIDE, CLIP.mean, CLIP.std, ("block0", "block1"))
    return Encoder(spec, net, clip_vit.run)


FAMILIES: dict[str, Callable[[], Encoder]] = {
    "preact_resnet": lambda: encoder_registry.build("wrn16_1@16"),
    "vgg": lambda: encoder_registry.build("vgg_small@16"),
    "torchvision_conv": lambda: encoder_registry.build("torchvision_mobilenet_v3_small@32"),
    "cifar_resnet": lambda: encoder_registry.build("tiny_resnet"),
    "simclr_resnet": lambda: encoder_registry.build("simclr_resnet18@16"),
    "resnet, basic blocks": lambda: of_timm("resnet18", **RESNET),
    "resnet, bottlenecks": lambda: of_timm("resnet50", **RESNET),
    "clip_resnet": small_clip_resnet,
    "clip_vit": small_clip_vit,
    "torchvision_vit": small_torchvision_vit,
    "vision_transformer": lambda: of_timm("vit_small_patch16_224", **TRANSFORMER),
    "dinov2": lambda: of_timm("vit_small_patch14_dinov2", **TRANSFORMER),
    "dinov2, registers": lambda: of_timm("vit_small_patch14_reg4_dinov2", **TRANSFORMER),
    "dinov2, registers of its publisher": lambda: of_variant("RegisteredVit", registers=4),
    "moco v3, convolutional stem": lambda: of_variant("ConvVit"),
    "deit, class token": lambda: of_variant("ClassTokenDeit"),
    "dinov3": lambda: of_timm("vit_small_patch16_dinov3", **TRANSFORMER),
    "clip in timm": lambda: of_timm("vit_base_patch16_clip_224", **TRANSFORMER),
    "deit, distilled": lambda: of_timm("deit_small_distilled_patch16_224", **TRANSFORMER),
    "beit": lambda: of_timm("beit_base_patch16_224", **TRANSFORMER),
    "eva": lambda: of_timm("eva02_small_patch14_224", **TRANSFORMER),
    "relative positions": lambda: of_timm("vit_relpos_small_patch16_224", **TRANSFORMER),
}


@cache
def built(family: str) -> Encoder:
    torch.manual_seed(0)
    return FAMILIES[family]()


@pytest.fixture(params=FAMILIES)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return copy.deepcopy(built(request.param))


def random_images(encoder: Encoder, count: int = 4, seed: int = 1) -> Tensor:
    side = encoder.spec.input_size
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=generator)


def distilled(student: Encoder, teacher: Encoder, taps: Sequence[str]) -> Tensor:
    """The sum of all three losses, after the student's backward pass."""
    first, second = random_images(student, seed=1), random_images(student, seed=2)
    with torch.no_grad():
        target, target_maps = teacher.eval()(first, taps)
    features, maps = student(first, taps)
    loss = clone_loss(features, target) + contrastive_loss(features, student(second), 0.5)
    loss = loss + sum(attention_loss(s, t) for s, t in zip(maps, target_maps, strict=True))
    loss.backward()
    return loss.detach()


def test_taps_do_not_change_the_feature_and_have_finite_values(encoder: Encoder) -> None:
    encoder.eval()
    images = random_images(encoder)
    with torch.no_grad():
        features, maps = encoder(images, encoder.spec.taps)
        torch.testing.assert_close(features, encoder(images), rtol=1e-4, atol=1e-5)
        backwards = encoder(images, encoder.spec.taps[::-1])[1]
    assert features.shape == (4, encoder.spec.feature_width)
    assert len(maps) == len(encoder.spec.taps)
    assert all(tap.ndim == 4 and tap.isfinite().all() and tap.std() > 0 for tap in maps)
    assert all(map(torch.equal, maps, reversed(backwards)))


def test_the_losses_are_finite_and_give_every_weight_a_gradient(encoder: Encoder) -> None:
    teacher = copy.deepcopy(encoder)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    loss = distilled(encoder.train(), teacher, encoder.spec.taps)
    assert loss.isfinite()
    assert loss > 0
    for key, weight in encoder.net.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key


def saved_bytes(encoder: Encoder, teacher: Encoder) -> int:
    """Bytes saved for the backward pass, without the weights."""
    torch.manual_seed(0)  # relative positions have dropout
    weights = {weight.untyped_storage().data_ptr() for weight in encoder.parameters()}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        distilled(encoder, teacher, encoder.spec.taps[-1:])
    return sum(saved.values())


def test_recomputed_activations_give_the_same_gradients_with_less_memory(encoder: Encoder) -> None:
    teacher, other = copy.deepcopy(encoder), copy.deepcopy(encoder)
    units = checkpoint_activations(other)
    assert units == len(blocks(encoder)) >= 2
    plain_bytes = saved_bytes(encoder.train(), teacher)
    checkpointed_bytes = saved_bytes(other.train(), teacher)
    pairs = zip(encoder.named_parameters(), other.parameters(), strict=True)
    for (key, left), right in pairs:
        torch.testing.assert_close(
            left.grad, right.grad, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert all(map(torch.equal, encoder.buffers(), other.buffers()))
    assert checkpointed_bytes < 0.8 * plain_bytes


def test_the_profile_gives_every_tap_a_finite_score(encoder: Encoder) -> None:
    torch.manual_seed(1)
    untrained = copy.deepcopy(encoder)
    recipe = Recipe(mutual_information=MutualInformation(images=24))
    batches = [random_images(encoder, 8, seed) for seed in range(3)]
    compute = Compute("cpu", "fp32", 1)
    found = profile(encoder.eval(), untrained.eval(), batches, recipe, compute)
    assert [tap.tap for tap in found.taps] == [*encoder.spec.taps]
    assert all(torch.tensor([tap.score, tap.untrained]).isfinite().all() for tap in found.taps)
    assert sum(tap.share for tap in found.taps) == pytest.approx(1.0)
