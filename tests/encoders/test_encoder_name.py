"""The statistics of the input in the name of an encoder."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.encoders import encoder_name, encoder_registry, sizes
from mimic_ray.encoders.normalisation import HALF, NORMALISATIONS, STL10


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_each_known_normalisation_comes_back_from_the_name(name):
    full = encoder_name.joined("resnet50@64", encoder_name.statistics(name, None, None))
    assert full == f"resnet50@64:normalise={name}"
    assert encoder_name.split(full) == ("resnet50@64", NORMALISATIONS[name])


def test_numbers_come_back_exactly_and_known_numbers_by_name():
    given = encoder_name.statistics(None, "0.1,0.25,0.123456789", "0.3")
    full = encoder_name.joined("vit_b16", given)
    assert full == "vit_b16:mean=0.1/0.25/0.123456789,std=0.3/0.3/0.3"
    assert encoder_name.split(full) == ("vit_b16", given)
    assert encoder_name.joined("vit_b16", encoder_name.statistics(None, "0.5", "0.5")) == (
        "vit_b16:normalise=half"
    )
    exact = encoder_name.statistics(None, *(",".join(map(str, values)) for values in STL10))
    assert exact == STL10


def test_a_name_without_statistics_is_left_as_it_is():
    assert encoder_name.statistics(None, None, None) is None
    assert encoder_name.joined("resnet50", None) == "resnet50"
    assert encoder_name.joined(None, None) is None
    assert encoder_name.split("net.py:build") == ("net.py:build", None)


def test_the_key_path_of_the_weights_comes_back_too():
    full = encoder_name.joined("vit_b16@96", HALF, "net.a,b:c=1")
    assert full == "vit_b16@96:weights=net.a,b:c=1,normalise=half"
    assert encoder_name.weights(full) == "net.a,b:c=1"
    assert encoder_name.split(full) == ("vit_b16@96", HALF)
    assert encoder_name.without_weights(full) == "vit_b16@96:normalise=half"
    assert encoder_name.without_weights("resnet50:weights=a.b") == "resnet50"
    assert encoder_name.without_weights("resnet50:mean=0.1,std=0.2") == "resnet50:mean=0.1,std=0.2"
    assert encoder_name.joined(None, None, "ema") == ":weights=ema"
    assert encoder_name.split("resnet50:weights=ema") == ("resnet50", None)
    assert encoder_name.weights("resnet50:normalise=half") == encoder_name.weights("a") == ""
    for name, key_path in (("net.py:build", "ema"), ("resnet50", ""), ("a:weights=b", "c")):
        with pytest.raises(UsageError):
            encoder_name.joined(name, None, key_path)


def test_statistics_without_an_encoder_are_a_name_too():
    assert encoder_name.joined(None, HALF) == ":normalise=half"
    assert encoder_name.without_statistics(":normalise=half") == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("imgnet", None, None), 'no normalisation "imgnet". Did you mean imagenet'),
        (("none", "0.5", None), "leave mean= and std= out"),
        ((None, "0.5", None), "mean= needs std="),
        ((None, None, "0.5"), "std= needs mean="),
        ((None, "123,116,103", "0.2"), "divide it by 255"),
        ((None, "0.5,0.5", "0.5"), "mean=0.5,0.5 is not three numbers"),
        ((None, "a", "0.5"), "mean=a is not three numbers"),
        ((None, "", "0.5"), "is not three numbers"),
        ((None, "nan", "0.5"), "mean=nan is not possible"),
        ((None, "-0.1", "0.5"), "mean=-0.1 is not possible"),
        ((None, "0.5", "0.2,0,0.2"), "std=0.2,0,0.2 is not possible: each value must be above 0"),
    ],
)
def test_statistics_that_cannot_be_are_refused(given, message):
    with pytest.raises(UsageError) as refused:
        encoder_name.statistics(*given)
    assert message in str(refused.value)


def test_statistics_are_stated_once_and_not_for_a_users_own_network():
    with pytest.raises(UsageError, match="has settings already"):
        encoder_name.joined("resnet50:normalise=none", HALF)
    with pytest.raises(UsageError, match="set the mean and std of its Spec"):
        encoder_name.joined("net.py:build", HALF)
    # Before the file is run.
    with pytest.raises(UsageError, match="set the mean and std of its Spec"):
        encoder_registry.build("missing.py:build:normalise=none")
    with pytest.raises(UnknownNameError, match='no setting of an encoder "size"'):
        encoder_name.split("resnet50:normalise=none,size=64")
    with pytest.raises(UnknownNameError, match="Did you mean normalise"):
        encoder_registry.build("tiny_resnet:normalize=none")
    with pytest.raises(UnknownNameError, match="imagenet"):
        encoder_name.split("resnet50:normalise=imgnet")


def test_a_size_and_statistics_stand_side_by_side():
    name = "tiny_resnet@48:normalise=half"
    assert encoder_registry.input_size(name) == 48
    assert sizes.is_stated(name)
    assert not sizes.is_stated("tiny_resnet:normalise=half")
    assert sizes.joined(name, 64) == "tiny_resnet@64:normalise=half"
    spec = encoder_registry.build(name).spec
    assert (spec.name, spec.input_size, (spec.mean, spec.std)) == (name, 48, HALF)


def test_the_features_are_those_of_images_normalised_by_the_stated_statistics():
    plain = encoder_registry.build("tiny_resnet:normalise=none").eval()
    stated = encoder_registry.build("tiny_resnet:mean=0.1/0.2/0.3,std=0.4/0.5/0.6").eval()
    stated.net.load_state_dict(plain.net.state_dict())
    images = torch.rand(2, 3, 32, 32)
    mean = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(stated(images), plain((images - mean) / std))
