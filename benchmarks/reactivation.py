"""Whether a removed backdoor is easier to plant again than to plant in a clean encoder.

A user's model is trained on 10 clean images a class, as `evaluate --lasting` does, and on a few
images with the trigger and the target's label. If the purified encoder needs fewer of these than
an encoder that was never attacked, a part of the backdoor is left in it. Prints ACC and ASR for
each number of triggered images. Uses labels and the trigger, and is for judging only.

    python -m benchmarks.reactivation suspect=attacked.pth default=run0 default=run1 \\
        never=resnet20-cifar10.th --encoder cifar_resnet20 --train "train-{0000..0001}.tar.gz" \\
        --test test-0000.tar.gz --trigger attack/trigger.npz --target truck
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from mimic_ray.attacks.triggers.trigger import Trigger, make_trigger
from mimic_ray.base import devices, seeds
from mimic_ray.data.labelled import Labelled, open_labelled
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.outcomes import LabelledTest, Outcomes, acc_over, asr_over
from mimic_ray.evaluation.results import Proportion
from mimic_ray.evaluation.revival import FineTuning, few_of_each_class, fine_tuned
from mimic_ray.execution.shared_inputs import ArrayImages
from mimic_ray.workflows.evaluated_encoders import load_encoders


def poisoned(
    train: Labelled, trigger: Trigger, target: int, triggered: int, seed: int
) -> tuple[ArrayImages, Tensor]:
    """10 clean images a class, and `triggered` other ones with the trigger and label `target`."""
    settings = FineTuning()
    few = few_of_each_class(train.labels, settings.share, settings.least, seed)
    free = (train.labels != target).logical_and(~torch.isin(torch.arange(len(train.labels)), few))
    others = free.nonzero().squeeze(1)
    order = torch.randperm(len(others), generator=seeds.generator(seed, "triggered images"))
    chosen = others[order[:triggered]]
    pixels = [train.pixels.gather(few)]
    if triggered:
        pixels.append(trigger.apply(train.pixels.gather(chosen)))
    labels = torch.cat([train.labels[few], torch.full((triggered,), target)])
    return ArrayImages(torch.cat(pixels).numpy()), labels


def outcomes(
    encoder: Encoder, train: Labelled, test: LabelledTest, trigger: Trigger, asked: tuple[int, int]
) -> Outcomes:
    """Of a model trained with a number of triggered images and a seed."""
    triggered, seed = asked
    images, labels = poisoned(train, trigger, test.target, triggered, seed)
    compute = devices.choose("cpu", threads=1)
    all_of_them = FineTuning(share=1.0)
    model = fine_tuned(encoder, images, labels, test.classes, compute, seed, all_of_them)
    return test.with_heads(model.encoder, [model.head], compute)


def shown(found: Proportion | None) -> str:
    if found is None:
        return "-"
    return f"{100 * found.share:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})"


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("encoders", nargs="+", metavar="NAME=PATH")
    options.add_argument("--encoder", required=True)
    options.add_argument("--train", required=True)
    options.add_argument("--test", required=True)
    options.add_argument("--trigger", required=True)
    options.add_argument("--target", required=True)
    options.add_argument("--triggered", type=int, nargs="+", default=[0, 1, 3, 10, 30])
    options.add_argument("--seeds", type=int, default=3, help="trainings of each encoder")
    asked = options.parse_args(arguments)
    groups: dict[str, list[Encoder]] = defaultdict(list)
    for given in asked.encoders:
        name, _, path = given.partition("=")
        loaded = load_encoders({name: path}, asked.encoder, own_heads=False)
        groups[name].append(loaded[name].encoder.eval())
    side = next(iter(groups.values()))[0].spec.input_size
    train, test = open_labelled(asked.train, side), open_labelled(asked.test, side)
    trigger = make_trigger(asked.trigger, side)
    judged = LabelledTest(
        train=train.pixels,
        train_labels=train.labels,
        test=test.pixels,
        test_labels=test.labels,
        classes=train.class_count(),
        triggered=trigger.apply,
        target=test.class_index(asked.target),
    )
    for triggered in asked.triggered:
        for name, group in groups.items():
            found = [
                outcomes(encoder, train, judged, trigger, (triggered, seed))
                for encoder in group
                for seed in range(asked.seeds)
            ]
            row = {"encoder": name, "triggered": triggered}
            print(json.dumps(row | {"acc": shown(acc_over(found)), "asr": shown(asr_over(found))}))


if __name__ == "__main__":
    main()
