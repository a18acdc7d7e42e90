"""A stand-in for Slurm on the hosts of a `network.Lan`: a daemon on each host, and `srun`.

    python slurm_daemon.py daemon            on each host
    python slurm_daemon.py srun --nodelist=node1 COMMAND ...

`srun` knows the options that the batch script uses, finds the hosts in $SLURM_HOSTS (a JSON object
of names and addresses), shows the output of the commands and exits with the largest of their exit
codes. As with Slurm, the commands end when `srun` ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

PORT = 6818
_GRACE_S = 30.0
# Before the exit code, after all output of the command.
_END = b"\0exit code "


def serve() -> None:
    with socket.create_server(("0.0.0.0", PORT)) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_run, args=[connection], daemon=True).start()


def _run(connection: socket.socket) -> None:
    """Runs the command that the connection sends until it ends or the connection is closed."""
    with connection, connection.makefile() as lines:
        sent = json.loads(lines.readline())
        command = subprocess.Popen(
            sent["command"],
            env=sent["environment"],
            cwd=sent["folder"],
            stdin=subprocess.DEVNULL,
            stdout=connection,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while command.poll() is None:
            if select.select([connection], [], [], 0.1)[0]:
                _end(command)
                return
        connection.sendall(_END + str(command.returncode).encode())


def _end(command: subprocess.Popen[bytes]) -> None:
    os.killpg(command.pid, signal.SIGTERM)
    try:
        command.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(command.pid, signal.SIGKILL)


def srun(words: list[str]) -> int:
    options = {}
    while words[0].startswith("--"):
        name, _, value = words.pop(0).removeprefix("--").partition("=")
        options[name] = value
    hosts = json.loads(os.environ["SLURM_HOSTS"])
    if chosen := options.get("nodelist"):
        hosts = {chosen: hosts[chosen]}
    hosts.pop(options.get("exclude"), None)
    assert len(hosts) == int(options["nodes"]) == int(options["ntasks"])
    codes = list[int]()
    threads = [
        threading.Thread(target=lambda to=address: codes.append(_ask(to, words)), daemon=True)
        for address in hosts.values()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(codes)


def _ask(address: str, command: list[str]) -> int:
    with socket.create_connection((address, PORT)) as connection:
        sent = {"command": command, "environment": dict(os.environ), "folder": str(Path.cwd())}
        connection.sendall(json.dumps(sent).encode() + b"\n")
        received = b""
        while part := connection.recv(65536):
            received += part
    output, _, code = received.partition(_END)
    sys.stdout.write(output.decode(errors="replace"))
    return int(code or 1)


if __name__ == "__main__":
    action, *rest = sys.argv[1:]
    sys.exit(serve() if action == "daemon" else srun(rest))
