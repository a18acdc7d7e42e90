"""Encoders to calibrate and judge `mimic-ray scan` on: attacked ones and benignly fine-tuned ones.

Pair p has one attacked encoder and one benign one, both trained from the same public CIFAR ResNet
on the same images for the same number of steps. The trigger kinds take turns, so that any first
part of the population has all of them. A run continues where an earlier one stopped; a second
process with --backwards meets the first in the middle.

Each encoder is one .safetensors file beside a .json file with its facts: trigger, target, seed,
accuracy, and for attacked ones ASR. Both come from the head in the public file on test images that
no encoder was trained on. About 20 CPU seconds for a ResNet-20.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.attacks.attack_registry import AttackInputs
from mimic_ray.attacks.badencoder import badencoder
from mimic_ray.attacks.references import by_margin
from mimic_ray.attacks.triggers.trigger import make_trigger
from mimic_ray.base import devices, files, seeds
from mimic_ray.base.devices import Compute
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.labelled import open_labelled
from mimic_ray.data.views import flip_and_shift, simclr, to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.features import features
from mimic_ray.method.schedule import learning_rate
from mimic_ray.weight_files.load import load_checkpoint

KINDS = ("patch", "noise_patch", "blend", "dct", "sine")
# Six of eight pairs start from the ResNet-20.
_ARCHITECTURES = ("20", "20", "32", "20", "20", "56", "20", "20")
_BENIGN = ("control", "views", "supervised")
_SHADOW_IMAGES, _TEST_IMAGES, _SIDE = 2000, 500, 32
_STEPS, _BATCH, _MOMENTUM, _DECAY = 120, 24, 0.9, 5e-4
_SHADOW_SHARDS = "train-000[0-9].tar.gz"
_TEST_SHARDS = "test-0000.tar.gz"


@dataclass(frozen=True)
class Member:
    """One encoder of the population, determined by the population's seed and its number."""

    name: str
    pair: int
    attacked: bool
    kind: str  # of trigger, or of benign fine-tuning
    encoder: str
    start: str  # the public file
    trigger: str
    target: int
    references: int
    rate: float
    seed: int


def members(pairs: int, seed: int) -> list[Member]:
    """Two members a pair, the attacked one first."""
    return [member for pair in range(pairs) for member in _pair(pair, seed)]


def _pair(pair: int, seed: int) -> tuple[Member, Member]:
    key = seeds.keys(seed, "scan population", pair)
    draws = seeds.uniform(key, 12).tolist()
    kind = KINDS[pair % len(KINDS)]
    depth = _ARCHITECTURES[sum(divmod(pair, len(KINDS))) % len(_ARCHITECTURES)]
    attacked = Member(
        name=f"{pair:03d}-attacked",
        pair=pair,
        attacked=True,
        kind=kind,
        encoder=f"cifar_resnet{depth}",
        start=f"resnet{depth}-cifar10.th",
        trigger=_trigger(kind, pair, draws[:6]),
        target=int(10 * draws[6]),
        references=(1, 3)[draws[7] < 0.5],
        rate=0.04,
        seed=pair,
    )
    fine_tuning = _BENIGN[int(len(_BENIGN) * draws[8])]
    rate = (0.04, 0.02, 0.01)[int(3 * draws[9])]
    benign = Member(
        name=f"{pair:03d}-benign",
        pair=pair,
        attacked=False,
        kind=fine_tuning,
        encoder=attacked.encoder,
        start=attacked.start,
        trigger="",
        target=attacked.target,
        references=attacked.references,
        # At the rates of the others, the cross-entropy of a third of them diverged.
        rate=rate / 4 if fine_tuning == "supervised" else rate,
        seed=pair,
    )
    return attacked, benign


def _trigger(kind: str, pair: int, draws: list[float]) -> str:
    """A trigger of the registry with random size, strength and place."""
    first, second, third, fourth, fifth, _ = draws
    corner = ("top-left", "top-right", "bottom-left", "bottom-right")[int(4 * first)]
    gap = int(9 * second)
    if kind == "patch":
        value = (255, 255, 255, 0, 128)[int(5 * fourth)]
        return f"patch:side={4 + int(7 * third)},gap={gap},corner={corner},value={value}"
    if kind == "noise_patch":
        return f"noise_patch:side={5 + int(6 * third)},gap={gap},corner={corner},seed={pair}"
    if kind == "blend":
        return f"blend:alpha={0.12 + 0.13 * first:.3f},seed={pair}"
    if kind == "dct":
        channels = ("RGB", "GB", "R", "B")[int(4 * fourth)]
        amplitude = (0.08 + 0.07 * third) * (1.5 if len(channels) == 1 else 1)
        u, v = 2 + int(30 * first), 2 + int(30 * second)
        return f"dct:u={u},v={v},amplitude={amplitude:.3f},channels={channels}"
    axis = ("x", "y")[fourth < 0.5]
    periods = 2 + int(11 * fifth)
    return f"sine:periods={periods},amplitude={0.08 + 0.07 * third:.3f},axis={axis}"


class ShadowImages:
    """Decoded images in memory, with labels, in the form that an attack takes."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, indices: Tensor) -> Tensor:
        return self.pixels[indices]

    @classmethod
    def opened(cls, location: str | Path) -> ShadowImages:
        labelled = open_labelled(location, _SIDE)
        return cls(labelled.pixels.gather(torch.arange(len(labelled.pixels))), labelled.labels)

    def sample(self, count: int, seed: int) -> ShadowImages:
        order = torch.randperm(len(self), generator=seeds.generator(seed, "shadow images"))
        return ShadowImages(self.pixels[order[:count]], self.labels[order[:count]])


def make(
    member: Member, clean: Encoder, head: nn.Linear, shadow: ShadowImages, compute: Compute
) -> Encoder:
    """The encoder of a member. `clean` and `head` come from the public file."""
    if not member.attacked:
        return _fine_tuned(member, clean, head, shadow, compute)
    clean_features = features(clean, shadow, compute)
    best = by_margin(clean_features, shadow.labels, member.target, member.references)
    inputs = AttackInputs(
        clean,
        shadow,
        clean_features,
        shadow.gather(best),
        make_trigger(member.trigger, _SIDE).apply,
        compute,
    )
    return badencoder(
        inputs,
        steps=_STEPS,
        batch=_BATCH,
        rate=member.rate,
        momentum=_MOMENTUM,
        weight_decay=_DECAY,
        seed=member.seed,
    ).encoder


def _fine_tuned(
    member: Member, clean: Encoder, head: nn.Linear, shadow: ShadowImages, compute: Compute
) -> Encoder:
    """The clean encoder after the same steps of the same optimiser, without any trigger.

    control: keeps the features of plain images, as the attack's third term does
    views: keeps the features under SimCLR's views
    supervised: learns the labels with the public head, on flipped and shifted images
    """
    tuned = copy.deepcopy(clean).eval().requires_grad_(True)
    for module in tuned.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
    learned = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(learned, member.rate, _MOMENTUM, weight_decay=_DECAY)
    # As many images in a step as the attack has: plain ones and triggered ones.
    plan = EpochPlan(len(shadow), 2 * _BATCH, member.seed)
    for step in range(_STEPS):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, _STEPS, member.rate, "one_cycle", warmup=0.1)
        chosen = plan.batch(step)
        images, keys = (
            to_float(shadow.gather(chosen)),
            seeds.keys(member.seed, "view", step, chosen),
        )
        if member.kind == "views":
            images = simclr(images, keys, side=_SIDE)
        elif member.kind == "supervised":
            images = flip_and_shift(images, keys)
        images = images.contiguous(memory_format=torch.channels_last)
        with compute.autocast():
            found = tuned(images).float()
        if member.kind == "supervised":
            loss = F.cross_entropy(head(found), shadow.labels[chosen])
        else:
            with torch.no_grad(), compute.autocast():
                kept = clean(images).float()
            loss = -F.cosine_similarity(found, kept).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return tuned.requires_grad_(False)


def public_head(file: Path) -> nn.Linear:
    """The classifier in the public file, frozen."""
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    weight, bias = state["module.linear.weight"], state["module.linear.bias"]
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    return head.requires_grad_(False)


def classifier(head: nn.Linear) -> Callable[[Tensor], Tensor]:
    """features [N, D] -> classes [N]."""
    return lambda features: head(features).argmax(dim=1)


@torch.no_grad()
def judged(
    member: Member,
    encoder: Encoder,
    classify: Callable[[Tensor], Tensor],
    test: ShadowImages,
    compute: Compute,
) -> dict[str, float]:
    """Accuracy and, for an attacked encoder, ASR in percent; `classify`: features -> classes."""

    def predicted(pixels: Tensor) -> Tensor:
        images = to_float(pixels).contiguous(memory_format=torch.channels_last)
        with compute.autocast():
            return classify(encoder(images).float())

    found = {"acc": _percent(predicted(test.pixels) == test.labels)}
    if member.attacked:
        others = test.labels != member.target
        triggered = make_trigger(member.trigger, _SIDE).apply(test.pixels[others])
        found["asr"] = _percent(predicted(triggered) == member.target)
    return found


def _percent(right: Tensor) -> float:
    return round(100 * right.float().mean().item(), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of CIFAR-10 shards")
    parser.add_argument("--assets", type=Path, required=True, help="folder of public weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backwards", action="store_true", help="start with the last pair")
    given = parser.parse_args()

    compute = devices.choose("cpu", "auto", 1)
    given.out.mkdir(parents=True, exist_ok=True)
    everything = ShadowImages.opened(given.data / _SHADOW_SHARDS)
    test = ShadowImages.opened(given.data / _TEST_SHARDS).sample(_TEST_IMAGES, given.seed)
    todo = members(given.pairs, given.seed)

    @cache
    def public(name: str, encoder: str) -> tuple[Encoder, nn.Linear]:
        file = given.assets / name
        return load_checkpoint(file, encoder).encoder, public_head(file)

    for member in reversed(todo) if given.backwards else todo:
        facts_file = given.out / f"{member.name}.json"
        if facts_file.exists():
            continue
        start = time.process_time()
        clean, head = public(member.start, member.encoder)
        shadow = everything.sample(_SHADOW_IMAGES, member.seed)
        encoder = make(member, clean, head, shadow, compute)
        facts = {
            **asdict(member),
            **judged(member, encoder, classifier(head), test, compute),
            "seconds": round(time.process_time() - start, 1),
        }
        weights = {key: value.contiguous() for key, value in encoder.net.state_dict().items()}
        save_file(weights, given.out / f"{member.name}.safetensors")
        files.write_json(facts_file, facts)
        print(json.dumps(facts), flush=True)
    every = [given.out / f"{member.name}.json" for member in todo]
    facts = {file.stem: json.loads(file.read_text()) for file in every if file.exists()}
    files.write_json(given.out / "manifest.json", facts)


if __name__ == "__main__":
    main()
