"""A machine with a token, and fakes of `ray` and `kubectl` that log their arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# A fake fails a query for a secret with $SECRET_ERROR, and exits with $CODE otherwise.
_PROGRAM = """\
#!/bin/sh
echo {name} "$@" >> {log}
case "$*" in *"get secret"*)
    [ -z "$SECRET_ERROR" ] || {{ echo "$SECRET_ERROR" >&2; exit 1; }}; exit 0;;
esac
exit ${{CODE:-0}}
"""
SECRET_QUERY = "kubectl get secret mimic-ray-token -o name\n"


def prepare(folder: Path, monkeypatch) -> Path:
    """Makes `folder` the home folder, with a token, and puts the fakes first on the path."""
    programs, token = folder / "bin", folder / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("t0ken")
    token.chmod(0o600)
    programs.mkdir()
    for name in ("ray", "kubectl"):
        program = programs / name
        program.write_text(_PROGRAM.format(name=name, log=folder / "log"))
        program.chmod(0o755)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return folder


def log(machine: Path) -> str:
    """The arguments of all calls of the fakes, without the folder."""
    path = machine / "log"
    return path.read_text().replace(str(machine), "") if path.exists() else ""
