"""Ray's private parts that concern a session: its variables, signals, output, workers and errors.

See base/ray_version.py about releases of Ray. Each item has a test in
tests/distributed/test_ray_private.py that fails if Ray changes it; what only shows in a running Ray
is tested again in test_ray_session.py.

Imports Ray only inside functions: the checks before a run do not need it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError

# -- Environment variables, for the time of a session ---------------------------------------------

SESSION_VARIABLES = {
    # By default Train polls its workers every 2 s, which delays start, end and each report.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # Workers keep the driver's working folder.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # By default workers run at the lowest priority, so that any other program slows them down.
    "RAY_worker_niceness": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A thread that outlives the session would connect again, or start another Ray.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
SEARCH_VARIABLES = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # How long a process may take to end a stopped trial before the next trial uses it.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    # Tune must not handle Ctrl-C: the first one writes checkpoints and stops.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
# How long Train waits until all workers of a run have started; 60 s by default.
START_TIMEOUT_VARIABLE = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"


def is_set_by_ray(name: str) -> bool:
    """Whether Ray may set this variable in the driver's process."""
    return name.startswith(("RAY_", "TUNE_")) or name == "PYTHONBREAKPOINT"


def authentication_variables(address: str | None) -> dict[str, str]:
    """The authentication mode for a cluster, or for a private Ray if `address` is None."""
    if address is None:
        # Unset, Ray would turn token authentication on and write a token to the home folder.
        return {"RAY_AUTH_MODE": "disabled"}
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        # Without this Ray does not send the token.
        return {"RAY_AUTH_MODE": "token"}
    return {}


# -- Signals and output of the driver's process ---------------------------------------------------


@contextmanager
def kept_signal_handlers() -> Iterator[None]:
    """Keeps the signal handlers unchanged during and after the block.

    `ray.init` sets a handler for SIGTERM that ends the process before it can write a checkpoint.
    Blocking signals is not an option: Ray's processes would inherit the mask and ignore SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sets handlers in the main thread only, and so does Ray
        return
    set_handler, timer = signal.signal, signal.getitimer(signal.ITIMER_REAL)
    signal.signal = lambda number, handler: signal.getsignal(number)  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler
        # Ray's C++ core installs a native handler that also aborts the process 3 s after a SIGTERM.
        # Setting ours again removes it, and an alarm that is already set.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        if timer == (0.0, 0.0):
            signal.alarm(0)


@contextmanager
def descriptors_to(log: Path) -> Iterator[None]:
    """Redirects descriptors 1 and 2 to `log`; Python's streams still write to the terminal.

    The raylet inherits the driver's descriptors and writes to them.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    streams = sys.stdout, sys.stderr
    kept = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        # Replaced streams (by pytest or a notebook) do not use the descriptors.
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


@contextmanager
def ray_logs_to(log: Path) -> Iterator[None]:
    """Redirects to `log` the logger "ray" (such as the traceback of a killed trial) and the lines
    that Ray prints in a thread of the driver (such as a node that died)."""
    import logging

    from ray._private import worker

    handler, logger = logging.FileHandler(log, delay=True), logging.getLogger("ray")
    handlers, propagates = logger.handlers, logger.propagate
    print_lines = worker.print_worker_logs

    def log_lines(data: Mapping[str, Any], *_: Any) -> None:
        # Logged as errors, because the session's level drops everything below.
        logger.error("(%s) %s", data.get("pid"), "\n".join(data.get("lines", ())))

    logger.handlers, logger.propagate = [handler], False
    worker.print_worker_logs = log_lines
    try:
        yield
    finally:
        worker.print_worker_logs = print_lines
        logger.handlers, logger.propagate = handlers, propagates
        handler.close()


# -- Train's worker group -------------------------------------------------------------------------


def torch_backend() -> type:
    """The class that sets up torch's process group; `on_start(worker_group, backend_config)`."""
    from ray.train.torch import TorchConfig

    return TorchConfig().backend_cls


def on_each_worker(worker_group: Any, work: Callable[[], str]) -> list[str]:
    """The results of `work()` on each worker of a starting group."""
    return worker_group.execute(work)


def failed_start(worker_group: Any, message: str) -> Exception:
    """An error to raise in `on_start`, which Train retries like a failed start.

    Train does not retry any other error there, and the workers' CPUs and GPUs stay reserved.
    """
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError

    worker_group.abort()
    return WorkerGroupStartupFailedError(message)


# -- Nodes ----------------------------------------------------------------------------------------


def draining_nodes() -> set[str]:
    """The ids of the nodes that are about to be taken away, in the connected cluster.

    `ray.train.get_preemption_info` is public, but a barrier of all workers in every step, and
    trials of a search have no such thing.
    """
    from ray._private.state import state

    return {*state.get_draining_nodes()}


# -- Names and texts of errors --------------------------------------------------------------------

# Pattern in Ray's description of a dead process -> reason. The first match wins.
_DEATHS = {
    r"node (has )?died|node is dead|node failure|NodeDied": "Ray on its node ended "
    "or cannot be reached",
    r"OutOfMemory|memory (usage|pressure).*threshold|low on memory": "it ran out of memory",
    r"worker process has died|died unexpectedly|unexpectedly exits|connection error": "its process "
    "was killed or crashed (out of memory is the usual reason)",
    r"preempt": "its node was pre-empted",
}


def reason_of_death(error: BaseException) -> str | None:
    """Why a Ray process died; None if `error` does not report a dead process."""
    error = getattr(error, "health_check_failure", error)
    if isinstance(error, MimicError):
        return None
    text = f"{type(error).__name__} {error}"
    if not re.search("ActorDied|ActorUnavailable|NodeDied|WorkerCrashed|OutOfMemory", text):
        return None
    return next((why for pattern, why in _DEATHS.items() if re.search(pattern, text)), "no reason")


def node_address(error: BaseException) -> str:
    """The IP address of the node in `error`, "" if there is none."""
    found = re.search(r"(?:node_ip='|\bip[:=] ?)([0-9a-fA-F.:]+[0-9a-fA-F])", str(error))
    return found[1] if found else ""


def start_timed_out(error: BaseException | None) -> bool:
    """Whether the workers of a run did not get their CPUs or GPUs in time."""
    return type(error).__name__ == "WorkerGroupStartupTimeoutError"
