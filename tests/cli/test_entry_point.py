"""The end of a process, with and without a thread that does not return."""

import subprocess
import sys

import pytest

SCRIPT = """
import atexit, sys, threading
from mimic_ray.cli import entry_point

class Global:
    def __del__(self):
        print("torn down", flush=True)

kept = Global()
atexit.register(print, "registered")
if sys.argv.pop() == "lost":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
entry_point.run()
"""


@pytest.mark.parametrize(
    ("thread", "end"), [("none", "registered\ntorn down\n"), ("lost", "registered\n")]
)
@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["inspect", "no-file"], 2)])
def test_a_process_with_a_lost_thread_is_not_torn_down(thread, end, words, code):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words, thread], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert done.stdout.endswith(end)
    assert ("error: " in done.stderr) == bool(code)
