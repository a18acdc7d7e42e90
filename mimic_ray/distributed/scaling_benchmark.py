"""Images per second of the training loop by number of workers, without files and start-up."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.errors import TrainingError
from mimic_ray.base.resources import Resources, check_capacity
from mimic_ray.base.text import count
from mimic_ray.distributed.capacity import cluster_nodes
from mimic_ray.distributed.ray_session import ray_session
from mimic_ray.distributed.torch_trainer import torch_trainer, worker_device, worker_group
from mimic_ray.method.recipe import Recipe


@dataclass(frozen=True)
class ScalingCase:
    """One measurement: runs all steps of the recipe and measures those after `warm_up`."""

    encoder: str
    recipe: Recipe
    resources: Resources
    warm_up: int


def measure_scaling(cases: Sequence[ScalingCase], log: Path) -> Iterator[float]:
    """Images per second of each case, one after the other."""
    widest = max(
        (case.resources for case in cases), key=lambda wide: wide.workers * wide.cpus_per_worker
    )
    cpus = None if widest.address else widest.workers * widest.cpus_per_worker
    with ray_session(widest.address, log, cpus=cpus), tempfile.TemporaryDirectory() as storage:
        nodes = cluster_nodes()
        check_capacity(nodes, widest)
        for case in cases:
            trainer = torch_trainer(_worker, case, storage, case.resources, nodes, start_retries=0)
            try:
                yield trainer.fit().return_value
            except Exception as error:
                raise TrainingError(
                    f"The loop failed on {count(case.resources.workers, 'worker')}: {error}. Ray's "
                    f"log is {log}."
                ) from error


def _worker(case: ScalingCase) -> float:
    """Runs in each Ray Train worker: the loop with random images, teacher and student."""
    import torch

    from mimic_ray.base import devices
    from mimic_ray.data.synthetic_images import SyntheticImages
    from mimic_ray.encoders import encoder_registry
    from mimic_ray.execution.setup import make_strategy
    from mimic_ray.method.loop import Distillation

    resources, training, group = case.resources, case.recipe.training, worker_group()
    compute = devices.choose(worker_device(), training.precision, resources.cpus_per_worker)
    torch.manual_seed(0)
    teacher = encoder_registry.build(case.encoder)
    distillation = Distillation(
        student=encoder_registry.build(case.encoder),
        teacher=teacher,
        images=SyntheticImages(max(512, training.batch), teacher.spec.input_size),
        recipe=case.recipe,
        tap_weights=dict.fromkeys(teacher.spec.taps, 1.0),
        compute=compute,
        group=group,
        strategy=make_strategy(resources.strategy, resources.teacher_placement, group, compute),
    )
    start = time.monotonic()
    for _ in distillation.steps():
        if distillation.step == case.warm_up:
            distillation.settle()
            group.barrier()
            start = time.monotonic()
    # The metrics of the last step have arrived, so the device has finished as well.
    group.barrier()
    measured = training.steps - case.warm_up
    return measured * training.batch / (time.monotonic() - start)
