"""One connection to Ray a process: a private local one that ends with us, or a named cluster.

Ray's own output goes to a log file, never between our lines on the terminal. Its raylet writes to
the file descriptors of the driver, so those are turned away, and Python's streams get duplicates.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import ResourceError

_SETTINGS = {
    # Train looks for news every 2 s by default, which start, end and each report wait for.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # Workers keep the driver's folder; paths are absolute anyway.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # By default workers run at the lowest priority, and any other program on the machine starves
    # the one thing that the user waits for.
    "RAY_worker_niceness": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def ray_session(address: str | None, log: Path, cpus: int | None = None) -> Iterator[None]:
    """A Ray connection for the time of the block; a local one is ended with all its processes.

    `address` None starts a private Ray on this machine, even beside a running cluster. Raises
    ResourceError when the named cluster does not answer.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if address is None:
        # Unset, Ray would turn token authentication on and leave a token in the home folder.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    elif {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        # A token is not sent without this, however clearly it was given.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    with _descriptors_to(log):
        import logging

        import ray

        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            with _signal_handlers_kept():
                if address is None:
                    ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
                else:
                    ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _not_connected(address, error, log) from error
        try:
            with _logger_to(log):
                yield
        finally:
            ray.shutdown()


def _not_connected(address: str | None, error: BaseException, log: Path) -> ResourceError:
    """Ray's error as one of ours."""
    if address is None:
        return ResourceError(
            f"Could not start Ray on this machine: {error}. Ray's log is in {log}; `--local` runs "
            "without Ray."
        )
    # That it was the token is told by the text of the error behind this one, and nowhere else.
    within: BaseException | None = error
    while within is not None:
        if "AuthenticationError" in f"{type(within).__name__} {within}":
            return ResourceError(
                f"The Ray cluster at {address} wants another token: put the cluster's into a file "
                "that only you can read, and name it in RAY_AUTH_TOKEN_PATH."
            )
        within = within.__cause__ or within.__context__
    return ResourceError(
        f"The Ray cluster at {address} cannot be reached: {str(error).rstrip('.')}. Is its head "
        f"running, and port {address.rpartition(':')[2]} open to this machine?"
    )


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Whatever the block sets, signals find the handlers that were there before, even during it.

    Ray sets a handler of SIGTERM that ends the process before a step could be committed. Signals
    are not blocked instead: Ray's processes would inherit that and not end when told to.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # where Python sets no handlers, neither does Ray
        return
    set_handler, timer = signal.signal, signal.getitimer(signal.ITIMER_REAL)
    signal.signal = lambda number, handler: signal.getsignal(number)  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler
        # Below Python, Ray's core puts a handler before ours that also aborts the process 3 s
        # after a SIGTERM. Setting ours anew removes it, and the alarm if one has come already.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        if timer == (0.0, 0.0):
            signal.alarm(0)


@contextmanager
def _logger_to(log: Path) -> Iterator[None]:
    """What Ray says by Python's logging, such as the traceback of a trial that was killed, and
    what its nodes say by a thread that prints, such as that one of them died."""
    import logging

    from ray._private import worker

    ours, logger = logging.FileHandler(log, delay=True), logging.getLogger("ray")
    before, passed_on = logger.handlers, logger.propagate
    printed = worker.print_worker_logs

    def note(data: Mapping[str, Any], *_: Any) -> None:
        logger.warning("(%s) %s", data.get("pid"), "\n".join(data.get("lines", ())))

    logger.handlers, logger.propagate = [ours], False
    worker.print_worker_logs = note
    try:
        yield
    finally:
        worker.print_worker_logs = printed
        logger.handlers, logger.propagate = before, passed_on
        ours.close()


@contextmanager
def _descriptors_to(log: Path) -> Iterator[None]:
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    streams = sys.stdout, sys.stderr
    kept = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        # Streams that something replaced (a test's capture, a notebook) are left as they are.
        if streams[0] is sys.__stdout__:
            sys.stdout = os.fdopen(os.dup(kept[0]), "w", buffering=1)
        if streams[1] is sys.__stderr__:
            sys.stderr = os.fdopen(os.dup(kept[1]), "w", buffering=1)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = streams
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, file):
            os.close(descriptor)
