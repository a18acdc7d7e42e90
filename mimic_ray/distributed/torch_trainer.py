"""The TorchTrainer of every distributed run: distillations, trials with several workers, and the
scaling benchmark."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mimic_ray.base.resources import Amounts, Resources, worker_slots
from mimic_ray.base.storage_address import filesystem_of, parse
from mimic_ray.method.collectives import ProcessGroup

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

    `storage` is a path or an address that all nodes can see, for Ray's own files, which we never
    read. `nodes` are the nodes of the cluster. Lost workers are restarted `resources.restarts`
    times, and a failed start is retried `start_retries` times.
    """
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from mimic_ray.distributed.torch_process_group import ClusterTorchConfig

    files = parse(storage)
    most, required = resources.workers, resources.required_workers
    if resources.address is None and required < most:
        # No node can join a private Ray, so there is nothing to wait for.
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
            # With a known name Ray would resume its own state of that run instead of ours.
            name=f"run-{time.time_ns()}",
            storage_path=files.path,
            storage_filesystem=filesystem_of(files) if files.remote else None,
            # By default a start that does not fit the cluster is retried forever. Ray counts
            # pre-empted nodes separately, without a limit.
            failure_config=FailureConfig(
                max_failures=resources.restarts, controller_failure_limit=start_retries
            ),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def _work(loop_config: dict[str, Any]) -> Any:
    """Runs in each worker, and again whenever the workers change."""
    return loop_config["work"](loop_config["config"])


def on_one_machine() -> bool:
    """Whether all workers of this worker's group are on its machine."""
    from ray import train

    context = train.get_context()
    return context.get_local_world_size() == context.get_world_size()


def worker_group() -> ProcessGroup:
    """The process group of the calling worker."""
    from ray import train

    context = train.get_context()
    return ProcessGroup(
        context.get_world_rank(), context.get_world_size(), context.get_local_rank()
    )


def worker_device() -> str:
    """The device of the calling worker, with its index. Each worker of a node sees the GPUs of all
    workers, and in a new thread "cuda" would be the first one."""
    from ray.train.torch import get_device

    return str(get_device())
