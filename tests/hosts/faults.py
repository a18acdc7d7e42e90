"""Faults that a test causes on the hosts of a `network.Lan`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hosts.network import CARD, SHARED, Host, Lan

_WIRE = Path(__file__).with_name("wire.py")


@contextmanager
def cut(network: Lan, host: Host) -> Iterator[None]:
    """The host's cable is unplugged: no answers, and no closed connections."""
    network.switch.shell(f"ip link set {host.port} down")
    try:
        yield
    finally:
        network.switch.shell(f"ip link set {host.port} up")


@contextmanager
def slow(network: Lan, host: Host, *, delay_s: float, loss: float, seed: int = 0) -> Iterator[None]:
    """Each frame to and from the host takes `delay_s` longer, and a share of them is lost."""
    tap = f"wire{host.port.removeprefix('port')}"
    # No frames of 64 kB, which a real network does not have: a lost frame is one packet.
    host.shell(f"ip link set {CARD} gso_max_segs 1")
    network.switch.shell(f"ip link set {host.port} gso_max_segs 1 nomaster")
    words = [host.port, tap, str(delay_s), str(loss), str(seed)]
    wire = subprocess.Popen(
        [*network.switch.enter(processes=False), sys.executable, str(_WIRE), *words],
        stdout=subprocess.PIPE,
    )
    try:
        assert wire.stdout is not None
        assert wire.stdout.readline() == b"ready\n", "the wire did not start"
        yield
    finally:
        wire.kill()
        wire.wait(10)
        if wire.stdout:
            wire.stdout.close()
        network.switch.shell(f"ip link set {host.port} master switch")


def kill(host: Host, words: str, *, number: int = signal.SIGKILL) -> int:
    """Signals the host's first process with `words` in its command line; returns its id."""
    found = host.processes(words)
    assert found, f"no process with {words!r} on {host.name}"
    os.kill(found[0], number)
    return found[0]


def wait_for(what: Callable[[], Any], timeout_s: float) -> None:
    """Returns when `what()` is true."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.2)


@contextmanager
def full_disk(network: Lan, *, left_bytes: int = 0) -> Iterator[None]:
    """The shared folder has only `left_bytes` of space left."""
    filler = network.shared / "filler"
    free = os.statvfs(network.shared)
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        os.posix_fallocate(descriptor, 0, free.f_bavail * free.f_frsize - left_bytes)
        yield
    finally:
        os.close(descriptor)
        filler.unlink()


@contextmanager
def read_only(*hosts: Host) -> Iterator[None]:
    """The shared folder is read-only. Files that are open stay writable, since the kernel cannot
    revoke that; opening, creating and renaming fail."""
    for host in hosts:
        host.shell(f"mount --bind {SHARED} {SHARED}\nmount -o remount,bind,ro {SHARED}")
    try:
        yield
    finally:
        for host in hosts:
            if host.alive:
                # Lazily: a process may have its working folder in there.
                host.shell(f"umount --lazy {SHARED}")
