"""The TorchTrainer of every distributed run: distillations, trials with several workers, and the
scaling benchmark."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mimic_ray.base.resources import Amounts, Resources, worker_slots
from mimic_ray.base.storage_address import filesystem_of, parse
from mimic_ray.method.process_group import ProcessGroup

Config = TypeVar("Config")


def torch_trainer(
    work: Callable[[Config], Any],
    config: Config,
    storage: str,
    resources: Resources,
    nodes: Sequence[Amounts],
    *,
    start_retries: int,
) -> Any:
    """A ray.train.torch.TorchTrainer of `work(config)` on each worker.

    `storage`, a path or an address that all nodes can see, is for Ray's own files, which we never
    read. `nodes` are those of the cluster. Lost workers are restarted `resources.restarts` times,
    and a failed start is repeated `start_retries` times.
    """
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from mimic_ray.distributed.torch_config import ClusterTorchConfig

    files = parse(storage)
    most, required = resources.workers, resources.required_workers
    if resources.address is None and required < most:
        # No node will ever join a private Ray: do not wait for one.
        most = min(most, worker_slots(nodes, resources.each()))
    return TorchTrainer(
        _work,
        train_loop_config={"work": work, "config": config},
        torch_config=ClusterTorchConfig(),
        scaling_config=ScalingConfig(
            num_workers=(required, most) if required < most else most,
            use_gpu=bool(resources.gpus_per_worker),
            resources_per_worker=resources.each(),
        ),
        run_config=RunConfig(
            # With a known name Ray would resume its own state of that run; ours is on disk.
            name=f"run-{time.time_ns()}",
            storage_path=files.path,
            storage_filesystem=filesystem_of(files) if files.remote else None,
            # By default a start that does not fit the cluster is repeated for ever. Ray counts
            # preempted nodes separately, and without limit.
            failure_config=FailureConfig(
                max_failures=resources.restarts, controller_failure_limit=start_retries
            ),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _work(loop_config: dict[str, Any]) -> Any:
    """Runs inside each worker, again each time that the workers change."""
    return loop_config["work"](loop_config["config"])


def worker_group() -> ProcessGroup:
    """The process group of the worker that calls this."""
    from ray import train

    context = train.get_context()
    return ProcessGroup(
        context.get_world_rank(), context.get_world_size(), context.get_local_rank()
    )


def worker_device() -> str:
    """The device of the worker that calls this, with its number: each worker of a node sees the
    GPUs of all, and a bare "cuda" is the first of them in a new thread."""
    from ray.train.torch import get_device

    return str(get_device())
