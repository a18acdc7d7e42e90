"""The process of a command: from its start to an end that keeps its exit code.

A daemon thread may still wait in Ray's C++ code: calls of a head that is lost do not return. While
Python tears itself down such a thread comes back into freed memory, and the process dies with
SIGSEGV after it has said what happened. Therefore a process with daemon threads ends without the
teardown, after the functions registered with `atexit`.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress

from mimic_ray.cli.app import main


def run() -> None:
    """Runs the command line of this process and ends the process with its exit code."""
    try:
        main()
    except SystemExit as end:
        if not any(thread.daemon for thread in threading.enumerate()):
            raise
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)
