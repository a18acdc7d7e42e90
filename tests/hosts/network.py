"""Several hosts on one machine: Linux namespaces joined by a switch, which Ray takes for machines.

    with lan("desk", "head", "node1") as network:
        network["head"].run(["ray", "start", "--head", ...])
        network["node1"].kill()

Each host has its own network card, process table, host name, shared memory and disk (/tmp), and
all have one shared folder (/mnt) of a fixed size. Nothing is registered on the machine itself: the
kernel removes network cards, mounts and processes together with a host's first process, which
ends when this process ends for any reason. So several test runs do not collide, and a killed test
run leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# As on a cloud machine: the card that other hosts reach is not called eth0 ...
CARD = "ens5"
_SUBNET = "10.77.0"
SHARED = Path("/mnt")
PRIVATE = Path("/tmp")
_REPOSITORY = Path(__file__).resolve().parents[2]
_START_S = 20.0

# The first process of a host: ends with its standard input, and leaves no zombies.
_STAY = "trap '' CHLD; echo ready; exec cat > /dev/null"

_SWITCH = f"""
mount -t tmpfs -o size={{shared_mib}}m,mode=755 tmpfs {SHARED}
ip link set lo up
ip link add switch type bridge
ip link set switch up
{_STAY}
"""

# ... the host's own name resolves to loopback, as with Debian's installer, and there is a second
# card with the same address on every host, as with Docker.
_HOST = f"""
hostname {{name}}
mount -t tmpfs -o size=4g,mode=1777 tmpfs {PRIVATE}
mount -t tmpfs -o size=2g,mode=1777 tmpfs /dev/shm
mkdir {PRIVATE}/home {PRIVATE}/cache
printf '127.0.0.1 localhost\\n127.0.1.1 {{name}}\\n' > {PRIVATE}/hosts
mount --bind {PRIVATE}/hosts /etc/hosts
ip link set lo up
ip link add docker0 type bridge
ip addr add 172.17.0.1/16 dev docker0
ip link set docker0 up
{_STAY}
"""


def why_not() -> str:
    """Why hosts cannot be created on this machine; "" if they can."""
    if sys.platform != "linux":
        return "network namespaces exist only on Linux"
    if os.geteuid() != 0:
        return "hosts in network namespaces need root"
    missing = [name for name in ("ip", "unshare", "nsenter", "mount") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} is not installed"
    if any(folder in Path(sys.prefix, "x").parents for folder in (PRIVATE, SHARED)):
        return (
            f"the virtual environment lies in {PRIVATE} or {SHARED}, which hosts have their own of"
        )
    tried = subprocess.run(
        [
            *["unshare", "--net", "--mount", "--pid", "--fork"],
            *["ip", "link", "add", "type", "bridge"],
        ],
        capture_output=True,
        text=True,
        timeout=_START_S,
    )
    return tried.stderr.strip()


@dataclass
class Namespace:
    """A set of namespaces that live as long as their first process: network, mounts, processes."""

    name: str
    first: subprocess.Popen[bytes]  # `unshare`, whose only child is the first process

    def enter(self, *, processes: bool = True) -> list[str]:
        """The start of a command line that runs the rest of it in these namespaces."""
        pid = self.first.pid
        # Without its process table, the command is a child of ours, and signals reach it.
        within = [f"--pid=/proc/{pid}/ns/pid_for_children"] if processes else []
        return ["nsenter", f"--target={pid}", "--net", "--mount", "--uts", "--ipc", *within, "--"]

    def shell(self, script: str, *, processes: bool = True) -> str:
        """Runs set-up commands as root; raises RuntimeError with their output."""
        done = subprocess.run(
            [*self.enter(processes=processes), "sh", "-ec", script],
            capture_output=True,
            text=True,
            timeout=_START_S,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {script!r}: {done.stderr.strip()}")
        return done.stdout

    def kill(self) -> None:
        """Kills all processes at once, like a power failure."""
        task = Path(f"/proc/{self.first.pid}/task/{self.first.pid}")
        with suppress(OSError):  # it has ended already
            for child in (task / "children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        self.first.kill()
        self.first.wait(_START_S)
        if self.first.stdin:
            self.first.stdin.close()
        if self.first.stdout:
            self.first.stdout.close()

    @property
    def alive(self) -> bool:
        return self.first.poll() is None

    @property
    def root(self) -> Path:
        """Its file system, seen from outside. Never resolve() a path below it."""
        return Path(f"/proc/{self.first.pid}/root")


@dataclass
class Host(Namespace):
    address: str = ""
    port: str = ""  # the switch's end of the cable

    @property
    def environment(self) -> dict[str, str]:
        """For commands on this host: without variables of Ray and without the home folder."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("RAY_", "MIMIC_RAY_", "GLOO_", "NCCL_", "COLUMNS", "PYTEST_"))
        }
        own = {
            "HOME": str(PRIVATE / "home"),
            "TMPDIR": str(PRIVATE),
            "MIMIC_RAY_CACHE": str(PRIVATE / "cache"),
            "PYTHONPATH": str(_REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        }
        return {**kept, **own}

    def run(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on this host to its end. Processes that it leaves stay on the host."""
        return subprocess.run(
            [*self.enter(), *command],
            cwd=SHARED,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**self.environment, **(environment or {})},
        )

    def start(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Starts a command on this host; `processes` finds its process id."""
        return subprocess.Popen(
            [*self.enter(), *command],
            cwd=SHARED,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**self.environment, **(environment or {})},
        )

    def processes(self, words: str) -> list[int]:
        """Process ids, as seen from outside, of this host's processes with `words` in the command
        line."""
        own = Path(f"/proc/{self.first.pid}/ns/pid_for_children").readlink()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # ended meanwhile
                if (process / "ns/pid").readlink() == own:
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if words in command:
                        found.append(int(process.name))
        return sorted(found)

    @property
    def private(self) -> Path:
        """Its own disk, seen from outside."""
        return self.root / PRIVATE.relative_to("/")


@dataclass
class Lan:
    """Hosts by name, and the switch between them."""

    switch: Namespace
    hosts: dict[str, Host] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    @property
    def shared(self) -> Path:
        """The shared folder (SHARED on each host), seen from outside."""
        return self.switch.root / SHARED.relative_to("/")

    def add(self, name: str) -> Host:
        """Starts a new host and connects it."""
        number = len(self.hosts) + 11
        # It inherits the mounts of the switch, including the shared folder.
        first = _first_process(
            ["nsenter", f"--target={self.switch.first.pid}", "--net", "--mount", "--"],
            _HOST.format(name=name),
        )
        host = Host(name, first, f"{_SUBNET}.{number}", f"port{number}")
        self.switch.shell(
            f"ip link add {host.port} type veth peer name {CARD} netns {first.pid}\n"
            f"ip link set {host.port} master switch up",
            processes=False,  # so that the process id is the one from outside
        )
        host.shell(f"ip addr add {host.address}/24 dev {CARD}\nip link set {CARD} up")
        self.hosts[name] = host
        return host


@contextmanager
def lan(*names: str, shared_mib: int = 512) -> Iterator[Lan]:
    """Hosts with these names for the time of the block."""
    network = Lan(Namespace("switch", _first_process([], _SWITCH.format(shared_mib=shared_mib))))
    try:
        for name in names:
            network.add(name)
        yield network
    finally:
        for namespace in (*network.hosts.values(), network.switch):
            namespace.kill()


def _first_process(enter: list[str], script: str) -> subprocess.Popen[bytes]:
    own = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen(
        [*enter, "unshare", *own, "sh", "-ec", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches only the tests, which then end their hosts
    )
    assert process.stdout is not None
    assert process.stderr is not None
    if process.stdout.readline() != b"ready\n":
        process.kill()
        raise RuntimeError(f"A host did not start: {process.stderr.read().decode()}")
    process.stderr.close()
    return process
