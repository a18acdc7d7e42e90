"""A connection to a private local Ray or to a cluster, for the duration of a block.

Ray's output goes to a log file instead of the terminal. Environment variables and signal handlers
are restored afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mimic_ray.base.errors import MimicError, ResourceError
from mimic_ray.base.machine_limits import usable_cpus
from mimic_ray.base.ray_version import check_ray_version
from mimic_ray.distributed import ray_private, ray_private_node
from mimic_ray.distributed.cluster_address import find_cluster
from mimic_ray.distributed.local_ray import home_variable, local_ray_options
from mimic_ray.distributed.ray_errors import last_line, to_mimic_error

# How long a private Ray may take to start. A few seconds, but minutes on a machine that is busy.
START_S = 180.0


@contextmanager
def ray_session(
    address: str | None,
    log: Path,
    cpus: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Connects to Ray, and disconnects at the end of the block, which also stops a local Ray.

    `address` None starts a private Ray on this machine, even if a cluster is running. `variables`
    are set during the block. Raises ResourceError if the cluster does not answer, Ray cannot start
    here or the installed Ray is not supported, and TrainingError for an error of Ray in the block.
    """
    check_ray_version()
    if address is not None:
        # "auto" must be the same cluster for Ray.
        variables = {**(variables or {}), "RAY_ADDRESS": find_cluster(address).address}
    defaults = {**ray_private.SESSION_VARIABLES, **ray_private.authentication_variables(address)}
    # Values set by the user have precedence over our defaults.
    ours = {name: value for name, value in defaults.items() if name not in os.environ}
    ours |= home_variable()
    with _environment({**ours, **(variables or {})}), ray_private.descriptors_to(log):
        import ray

        try:
            with ray_private.kept_signal_handlers():
                _connect(address, cpus)
        except MimicError:
            raise
        except Exception as error:  # Ray raises plain Exception, OSError and others
            raise _not_connected(address, error, log) from error
        with ray_private.ray_logs_to(log):
            try:
                yield
            except ray.exceptions.RayError as error:
                raise to_mimic_error(error, log) from error
            finally:
                ray.shutdown()


def _connect(address: str | None, cpus: int | None) -> None:
    import logging

    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is not None:
        ray.init(address=address, **quiet)
        return
    options = local_ray_options()
    with ray_private_node.start_within(START_S):
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet, **options)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets `variables` during the block, and restores those that Ray sets itself."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        # Others are kept, because a thread of the user's program may have set them.
        names = [name for name in {**before, **os.environ} if ray_private.is_set_by_ray(name)]
        for name in [*variables, *names]:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


def _not_connected(address: str | None, error: BaseException, log: Path) -> ResourceError:
    if address is None:
        return ResourceError(
            f"Could not start Ray on this machine: {_reason(error)}. Ray's log is {log}. A "
            "purification by one worker runs without Ray."
        )
    # A wrong token is only visible in the text of a cause.
    cause: BaseException | None = error
    while cause is not None:
        if "AuthenticationError" in f"{type(cause).__name__} {cause}":
            return ResourceError(
                f"The Ray cluster at {address} requires another token: write the cluster's token "
                "to a file that only you can read, and set RAY_AUTH_TOKEN_PATH to it."
            )
        cause = cause.__cause__ or cause.__context__
    return ResourceError(
        f"The Ray cluster at {address} accepts connections, but not this command: "
        f"{last_line(error)}. Check that it is the port of the head's `ray start --port` (6379 by "
        "default), and that `ray status` answers there."
    )


def _reason(error: BaseException) -> str:
    if not ray_private_node.start_was_too_slow(error):
        return last_line(error)
    load = os.getloadavg()[0]
    return (
        f"it did not start within {START_S:.0f} s. The machine is busy (load {load:.0f} on "
        f"{usable_cpus()} CPUs) or has too little memory: run the command again when it is less so"
    )
