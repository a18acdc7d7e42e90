from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders import encoder_registry

MINE = """
from dataclasses import dataclass
from torch import nn
from mimic_ray.encoders.encoder import Encoder, Spec

@dataclass
class Width:
    value: int = 5

def encoder():
    spec = Spec("mine", Width().value, 8, (0.5,) * 3, (0.5,) * 3, ("only",))
    return Encoder(spec, nn.Conv2d(3, Width().value, 3), run)

def run(net, images, taps):
    x = net(images)
    return x.mean(dim=(2, 3)), {"only": x}

def network():
    return nn.Identity()

def broken():
    raise KeyError("layer7")

number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_net.py"
    path.write_text(MINE)
    return path


def test_the_users_function_gives_an_encoder_named_by_file_and_function(file: Path) -> None:
    encoder = encoder_registry.build(f"{file}:encoder")
    features, (tap,) = encoder(torch.rand(2, 3, 8, 8), ["only"])
    assert features.shape == (2, 5)
    assert tap.shape == (2, 5, 6, 6)
    assert encoder.spec.name == f"{file}:encoder"


def test_the_name_has_the_full_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert encoder_registry.build("my_net.py:encoder").spec.name == f"{file}:encoder"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("encodr", 'my_net.py has no "encodr": give the encoder as my_net.py:NAME'),
        ("number", "number is of type int, not a function"),
        ("network", "network returned a Identity: it must return a mimic_ray.Encoder"),
        ("broken", r"broken failed with KeyError: 'layer7' \(.*my_net.py, line"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(file: Path, function: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        encoder_registry.build(f"{file}:{function}")
