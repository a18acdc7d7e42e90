"""A connection to a private local Ray or to a cluster, for the duration of a block.

Ray's output goes to a log file instead of the terminal. Environment variables and signal handlers
are restored afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mimic_ray.base.errors import ResourceError, option
from mimic_ray.distributed import ray_private


@contextmanager
def ray_session(
    address: str | None,
    log: Path,
    cpus: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Connects to Ray, and disconnects at the end of the block, which also stops a local Ray.

    `address` None starts a private Ray on this machine, even if a cluster is running. `variables`
    are set during the block. Raises ResourceError if the cluster does not answer or the installed
    Ray is not supported.
    """
    ray_private.check_ray_version()
    defaults = {**ray_private.SESSION_VARIABLES, **ray_private.authentication_variables(address)}
    # Values set by the user have precedence over our defaults.
    ours = {name: value for name, value in defaults.items() if name not in os.environ}
    with _environment({**ours, **(variables or {})}), ray_private.descriptors_to(log):
        import ray

        try:
            with ray_private.kept_signal_handlers():
                _connect(address, cpus)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _not_connected(address, error, log) from error
        try:
            with ray_private.ray_logs_to(log):
                yield
        finally:
            ray.shutdown()


def _connect(address: str | None, cpus: int | None) -> None:
    import logging

    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    else:
        ray.init(address=address, **quiet)


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
            f"Could not start Ray on this machine: {str(error).rstrip('.')}. Ray's log is {log}; "
            f"{option('local', True)} runs without Ray."
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
        f"The Ray cluster at {address} cannot be reached: {str(error).rstrip('.')}. Check that its "
        f"head is running and that port {address.rpartition(':')[2]} is open to this machine."
    )
