"""Images a second of the training loop on 1, 2, ... workers, without files and start-up."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import TrainingError
from mimic_ray.base.resources import Resources, check_capacity
from mimic_ray.base.text import count
from mimic_ray.distributed.capacity import cluster_nodes
from mimic_ray.distributed.ray_session import ray_session
from mimic_ray.distributed.trainer import make_trainer


def measure_scaling(
    encoder: str,
    cases: Sequence[tuple[Resources, Mapping[str, Any]]],
    *,
    warm_up: int,
    log: Path,
) -> Iterator[float]:
    """Images a second of each case, a recipe on some workers, one after the other.

    All of the recipe's steps run, and those after the first `warm_up` are measured.
    """
    widest = max((case for case, _ in cases), key=lambda r: r.workers * r.cpus_per_worker)
    cpus = None if widest.address else widest.workers * widest.cpus_per_worker
    with ray_session(widest.address, log, cpus=cpus), tempfile.TemporaryDirectory() as storage:
        nodes = cluster_nodes()
        check_capacity(nodes, widest)
        for resources, recipe in cases:
            config = {
                "encoder": encoder,
                "recipe": dict(recipe),
                "warm_up": warm_up,
                "threads": resources.cpus_per_worker,
                "strategy": resources.strategy,
                "teacher_placement": resources.teacher_placement,
            }
            try:
                trainer = make_trainer(_worker, config, Path(storage), resources, nodes)
                yield trainer.fit().return_value
            except Exception as error:
                raise TrainingError(
                    f"The loop failed on {count(resources.workers, 'worker')}: {error}. Ray's log "
                    f"is in {log}."
                ) from error


def _worker(config: dict[str, Any]) -> float:
    """Runs inside each Ray Train worker: the loop on made-up images, teacher and student."""
    import os

    import torch
    from ray import train as ray_train

    from mimic_ray.base import devices
    from mimic_ray.data.synthetic_images import SyntheticImages
    from mimic_ray.encoders import encoder_registry
    from mimic_ray.execution.worker import make_strategy
    from mimic_ray.method.loop import Distillation
    from mimic_ray.method.process_group import ProcessGroup
    from mimic_ray.method.recipe import parse_recipe

    context = ray_train.get_context()
    group = ProcessGroup(
        context.get_world_rank(), context.get_world_size(), int(os.environ.get("LOCAL_RANK", "0"))
    )
    recipe = parse_recipe(config["recipe"])
    training = recipe.training
    device = str(ray_train.torch.get_device())
    compute = devices.choose(device, training.precision, config["threads"])
    torch.manual_seed(0)
    teacher, student = (
        encoder_registry.build(config["encoder"]),
        encoder_registry.build(config["encoder"]),
    )
    distillation = Distillation(
        student=student,
        teacher=teacher,
        images=SyntheticImages(max(512, training.batch), teacher.spec.input_size),
        recipe=recipe,
        tap_weights=dict.fromkeys(teacher.spec.taps, 1.0),
        compute=compute,
        group=group,
        strategy=make_strategy(config["strategy"], config["teacher_placement"], group, compute),
    )
    start = time.monotonic()
    for _ in distillation.steps():
        if distillation.step == config["warm_up"]:
            distillation.settle()
            group.barrier()
            start = time.monotonic()
    # The last step's rows have come, so the device is done as well.
    group.barrier()
    measured = training.steps - config["warm_up"]
    return measured * training.batch / (time.monotonic() - start)
