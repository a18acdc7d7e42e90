"""What `load_encoder` hands out: a refusal in a sentence, and no obstacle to other uses."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch.func import vmap

from mimic_ray.base.errors import DataError, UnknownNameError, UsageError
from mimic_ray.encoders.checked_encoder import CheckedEncoder
from mimic_ray.encoders.encoder_registry import build

TAKES = "it takes a float tensor [N, 3, 32, 32] with values in [0, 1]"


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    return build("tiny_resnet").eval()


@pytest.fixture
def encoder(plain):
    return CheckedEncoder(copy.deepcopy(plain))


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_features_maps_and_weights_are_those_of_the_encoder(encoder, plain, images):
    assert torch.equal(encoder(images), plain(images))
    assert torch.equal(encoder(images=images), plain(images))
    tap = plain.spec.taps[0]
    assert torch.equal(encoder(images, [tap])[1][0], plain(images, [tap])[1][0])
    assert [*encoder.state_dict()] == [*plain.state_dict()]
    assert not encoder.training


def nan(images):
    images = images.clone()
    images[1, 2, 3, 4] = torch.nan
    return images


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x: (x * 255).to(torch.uint8), "torch.uint8 [2, 3, 32, 32]"),
        (lambda x: (x * 255).long(), "torch.int64 [2, 3, 32, 32]"),
        (lambda x: x.numpy(), "type numpy.ndarray"),
        (lambda x: [*x], "type list"),
        (lambda x: None, "type NoneType"),
        (lambda x: x[0], "shape [3, 32, 32]"),
        (lambda x: x[:, :1], "shape [2, 1, 32, 32]"),
        (lambda x: x[..., :16], "shape [2, 3, 32, 16]"),
        (lambda x: x.double(), "torch.float64"),
        (nan, "NaN"),
        (lambda x: x / 0, "NaN"),
    ],
)
def test_other_images_are_refused_with_what_came_and_what_is_expected(
    encoder, images, change, found
):
    images[0, 0, 0, 0] = 0  # for x / 0
    with pytest.raises(DataError, match=re.escape(f"got images of {found}; {TAKES}")):
        encoder(change(images))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 255), (-2.1, 2.6), (0, 1.02), (-0.02, 1), (0, float("inf"))]
)
def test_values_outside_the_unit_interval_are_refused_with_both_ends(encoder, images, low, high):
    images[0, 0, 0, 0], images[1, 2, 5, 5] = low, high
    words = f"values from {low:.4g} to {high:.4g}; {TAKES}: divide values up to 255"
    images[0, 1] = min(low, 0)
    if low == 0:
        images.clamp_(min=0)
    with pytest.raises(DataError, match=re.escape(words)):
        encoder(images)


@pytest.mark.parametrize("edge", [0.0, 1.0, -0.004, 1.004])
def test_the_interval_is_closed_up_to_rounding(encoder, edge):
    encoder(torch.full((1, 3, 32, 32), edge))


def test_training_and_attacks_on_images_do_not_read_the_values(encoder, images, monkeypatch):
    monkeypatch.setattr(torch, "aminmax", None)  # a call would raise TypeError
    encoder(images.requires_grad_()).sum().backward()
    assert images.grad.abs().sum() > 0
    encoder.train()(images.detach() * 255)
    with pytest.raises(TypeError):
        encoder.eval()(images.detach())


def test_the_weights_get_the_gradients_of_the_encoder(encoder, plain, images):
    found = []
    for each in (encoder, copy.deepcopy(plain)):
        each(images).square().sum().backward()
        found.append([weight.grad for weight in each.parameters()])
    assert all(map(torch.equal, *found))


def test_compiled_code_has_no_break_and_no_check(encoder, plain, images):
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(images), plain(images), atol=1e-6)
    compiled(images * 255)


def test_it_can_be_exported_and_mapped(encoder, plain, images):
    features = plain(images)
    exported = torch.export.export(encoder, (images,)).module()
    assert torch.allclose(exported(images), features, atol=1e-5)
    mapped = vmap(lambda each: encoder(each[None])[0])(images)
    assert torch.allclose(mapped, features, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:FutureWarning")  # PyTorch's, since 2.10
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # the comparison of shapes
def test_it_can_be_traced(encoder, plain, images):
    traced = torch.jit.trace(encoder, images)
    assert torch.allclose(traced(images * 2), plain(images * 2), atol=1e-5)


def test_shapes_alone_are_enough_on_the_meta_device(encoder):
    assert encoder.to("meta")(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 32)


def test_half_precision_is_the_encoder_s_own_or_that_of_autocast(encoder, images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoder(images.bfloat16())
    half = encoder.bfloat16()
    assert half(images.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(DataError, match=r"float32; .*: use images\.to\(torch\.bfloat16\)"):
        half(images)


def test_a_wrong_tap_is_refused_with_the_known_ones(encoder, plain, images):
    tap = plain.spec.taps[0]
    with pytest.raises(UnknownNameError, match=rf'There is no tap "{tap}x"\. Did you mean .*{tap}'):
        encoder(images, [f"{tap}x"])
    with pytest.raises(UsageError, match=f"Invalid taps='{tap}': give a list"):
        encoder(images, tap)


def test_no_image_gives_no_feature(encoder):
    assert encoder(torch.empty(0, 3, 32, 32)).shape == (0, 32)


def test_a_copy_checks_too(encoder, images):
    with pytest.raises(DataError):
        copy.deepcopy(encoder)(images * 255)
