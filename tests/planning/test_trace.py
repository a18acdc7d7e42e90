"""Counted FLOPs and memory against published figures and the memory of a real step."""

from __future__ import annotations

import gc

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.planning.trace import trace

MIB = 1 << 20


def recipe_of(batch: int, **sections) -> Recipe:
    training = {"batch": batch, "steps": 4, "precision": "fp32", **sections.pop("training", {})}
    return parse_recipe({"training": training, **sections})


def test_resnet50_agrees_with_published_figures():
    traced = trace("resnet50", recipe_of(2), 2)
    assert traced.forward_flops / 2 == pytest.approx(8.2e9, rel=0.02)
    # Backward is twice the forward; the adversary also needs the gradient of the images.
    assert traced.student_flops == pytest.approx(3 * traced.forward_flops, rel=0.03)
    assert traced.student_parameters == 23_508_032
    assert traced.activations / 2 / MIB == pytest.approx(82, rel=0.03)


def test_vit_b16_takes_35_gflop_and_stores_no_attention_matrix():
    traced = trace("vit_b16", recipe_of(2), 2)
    assert traced.forward_flops / 2 == pytest.approx(35.1e9, rel=0.01)
    # 133 MiB per image with the attention matrices of 12 heads in 12 blocks, 197 tokens each; the
    # fused kernel does not store them.
    matrices = 12 * 12 * 197 * 197 * 4
    assert (traced.activations / 2 + matrices) / MIB == pytest.approx(133, rel=0.03)


def test_flops_of_a_linear_student_follow_from_its_shapes(tmp_path):
    code = tmp_path / "mine.py"
    code.write_text(
        "from torch import nn\n"
        "from mimic_ray.encoders.encoder import Encoder, Spec\n"
        "def make():\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 16, bias=False))\n"
        "    assert float(net[1].weight.sum()) != 1e9  # needs real values: no meta device\n"
        "    spec = Spec('mine', 16, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ())\n"
        "    return Encoder(spec, net, lambda net, images, taps: (net(images), {}))\n"
    )
    traced = trace(f"{code}:make", recipe_of(8, adversary={"share": 0.0}), 8)
    product = 2 * 8 * 3 * 32 * 32 * 16
    assert traced.forward_flops == product
    assert traced.student_flops == 2 * product  # without a gradient of the images


def test_a_second_view_doubles_the_students_work():
    loss = {"clone": 1.0, "contrastive": 1.0}
    one = trace("tiny_resnet", recipe_of(8, adversary={"share": 0.0}), 8)
    two = trace("tiny_resnet", recipe_of(8, loss=loss, adversary={"share": 0.0}), 8)
    assert two.student_flops == pytest.approx(2 * one.student_flops, rel=0.1)
    assert two.teacher_flops == one.teacher_flops


def test_a_cached_teacher_costs_a_step_no_flops():
    running = trace("tiny_resnet", recipe_of(8), 8)
    cached = trace("tiny_resnet", recipe_of(8), 8, teacher_cached=True)
    assert cached.teacher_flops == 0
    assert cached.forward_flops == running.forward_flops == running.teacher_flops
    assert cached.student_flops == running.student_flops
    assert cached.traffic < running.traffic
    assert cached.teacher_bytes == running.teacher_bytes  # still on the device


def test_activation_checkpointing_saves_memory_for_one_more_forward():
    kept = trace("tiny_vit", recipe_of(8), 8)
    again = trace("tiny_vit", recipe_of(8, training={"checkpoint_activations": True}), 8)
    assert again.activations < kept.activations / 2
    assert kept.student_flops < again.student_flops < kept.student_flops * 4 / 3 + 1


def test_bf16_saves_memory_with_the_same_flops():
    fp32, bf16 = (trace("cifar_resnet20", recipe_of(16), 16, p) for p in ("fp32", "bf16"))
    assert bf16.activations < 0.65 * fp32.activations
    assert bf16.flops == fp32.flops


class Noise:
    def __init__(self, count: int, side: int) -> None:
        self.pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def gather(self, indices):
        return self.pixels[indices]


def real_peak(name: str, batch: int) -> int:
    """Bytes of networks and moments, plus the peak of torch's CPU allocator in a real step, with
    views and temporaries of kernels; without the decoded images."""
    student, teacher = encoder_registry.build(name), encoder_registry.build(name)
    images = Noise(2 * batch, student.spec.input_size)
    run = Distillation(student, teacher, images, recipe_of(batch), {}, Compute("cpu", "fp32", 1))
    steps = run.steps()
    next(steps)
    run.optimiser.zero_grad(set_to_none=True)
    gc.collect()
    resting = [t for net in (run.student, run.teacher) for t in (*net.parameters(), *net.buffers())]
    resting += [t for kept in run.optimiser.state.values() for t in kept.values()]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        next(steps)
    events = seen.profiler.kineto_results.events()
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    steps.close()
    return peak + sum(t.numel() * t.element_size() for t in resting)


_VIT = pytest.param("vit_ti16", 4, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "batch"),
    [("cifar_resnet20", 32), ("simclr_resnet18", 4), ("tiny_vit", 64), _VIT],
)
def test_predicted_peak_memory_is_within_20_percent_of_a_real_step(name, batch):
    predicted = trace(name, recipe_of(batch), batch).peak_alone
    assert predicted == pytest.approx(real_peak(name, batch), rel=0.2)
