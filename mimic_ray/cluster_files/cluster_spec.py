"""What a user wants of a cluster, checked and resolved to nodes: the input of every template."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.registry import near_names
from mimic_ray.cluster_files import machines, versions

PROVIDERS = ("aws", "gcp", "kuberay")
KINDS = ("raycluster", "rayjob")
_REGIONS = {"aws": "us-west-2", "gcp": "us-central1", "kuberay": ""}
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_SHARED = re.compile(r"[\w.-]+:/[\w./-]*")
_INTERFACE = re.compile(r"[\w^=,.@-]+")
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")

# Options of some providers only; an option that would do nothing is refused.
_CLOUDS = ("aws", "gcp")
_ONLY = {
    **dict.fromkeys(("region", "zone", "disk", "roles", "subnet", "machine_image"), _CLOUDS),
    **dict.fromkeys(("kind", "token_secret", "node_selector"), ("kuberay",)),
    "security_group": ("aws",),
    "project": ("gcp",),
}


@dataclass(frozen=True)
class Wanted:
    """One cluster. A worker is one of `purify --workers`: a Ray Train worker with its own GPU."""

    provider: str
    gpu: str
    workers: int = 8
    min_workers: int | None = None  # None: all, since `purify` wants its workers there at once
    gpus_per_node: int | None = None  # None: what holds all workers, if it is sold
    kind: str = "raycluster"  # of kuberay
    name: str = "mimic-ray"
    spot: bool = False
    region: str = ""
    zone: str = ""
    image: str = versions.IMAGE
    shm: int = 0  # GiB; 0: 8 a GPU
    disk: int = 200  # GB
    shared: str = ""  # HOST:/EXPORT of an NFS server; on Kubernetes a volume claim
    project: str = versions.PROJECT
    roles: tuple[str, str] = ("mimic-ray-head", "mimic-ray-worker")
    subnet: str = ""
    security_group: str = ""
    machine_image: str = ""
    interface: str = ""
    token_file: str = "~/.ray/auth_token"
    token_secret: str = "mimic-ray-token"
    node_selector: tuple[tuple[str, str], ...] = ()
    job: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("provider", self.provider, PROVIDERS)
        _one_of("kind", self.kind, KINDS)
        for one in fields(self):
            given = getattr(self, one.name) != one.default
            if given and self.provider not in _ONLY.get(one.name, PROVIDERS):
                option = "--head-role" if one.name == "roles" else option_of(one.name)
                who = " and ".join(_ONLY[one.name])
                raise UsageError(f"{option} is for {who}, not for {self.provider}.")
        if self.job and not self.is_job:
            raise UsageError("A command after -- is run by --provider kuberay --kind rayjob only.")
        for option, value in (("--workers", self.workers), ("--disk", self.disk)):
            if value < 1:
                raise UsageError(f"{option} {value}: at least 1 is needed.")
        if self.shm < 0:
            raise UsageError(f"--shm {self.shm}: a size in GiB, or 0 for 8 GiB a GPU.")
        if not 0 <= self.least_workers <= self.workers:
            raise UsageError(
                f"--min-workers {self.least_workers} is not between 0 and --workers {self.workers}."
            )
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f'--name "{self.name}": lower-case letters, digits and dashes, a letter first, at '
                "most 40."
            )
        pattern = _CLAIM if self.provider == "kuberay" else _SHARED
        if self.shared and not pattern.fullmatch(self.shared):
            raise UsageError(
                f'--shared "{self.shared}": HOST:/EXPORT of an NFS server'
                + (", on Kubernetes the name of a volume claim." if pattern is _CLAIM else ".")
            )
        if self.interface and not _INTERFACE.fullmatch(self.interface):
            raise UsageError(f'--interface "{self.interface}": a name such as ens5.')
        if self.image == versions.IMAGE and self.gpu.lower() in machines.TOO_OLD:
            raise UsageError(
                f"{self.gpu} is too old for the image of cluster/Dockerfile (its PyTorch is built "
                "with CUDA 13, which has nothing for Volta): give --image with CUDA 12, or another "
                "--gpu."
            )
        self.machine  # noqa: B018 - raises where there is none

    @property
    def machine(self) -> machines.Machine:
        return machines.choose(self.provider, self.gpu, self.workers, self.gpus_per_node)

    @property
    def least_workers(self) -> int:
        return self.workers if self.min_workers is None else self.min_workers

    @property
    def is_job(self) -> bool:
        return self.provider == "kuberay" and self.kind == "rayjob"

    @property
    def most_nodes(self) -> int:
        return math.ceil(self.workers / self.machine.gpus)

    @property
    def least_nodes(self) -> int:
        return math.ceil(self.least_workers / self.machine.gpus)

    @property
    def shm_gib(self) -> int:
        """/dev/shm of a worker node: Ray's object store and PyTorch's shared tensors."""
        return self.shm or 8 * self.machine.gpus

    @property
    def object_store_bytes(self) -> int:
        """Half of /dev/shm: Ray falls back to the disk where its store does not fit there."""
        return (self.shm_gib << 30) // 2

    @property
    def where(self) -> tuple[str, str]:
        """Region and zone; on GCP a zone is needed, on AWS empty means any."""
        region = self.region or (self.zone.rpartition("-")[0] if self.provider == "gcp" else "")
        region = region or _REGIONS[self.provider]
        return region, self.zone or (f"{region}-a" if self.provider == "gcp" else "")


def option_of(name: str) -> str:
    """`gpus_per_node` -> `--gpus-per-node`."""
    return "--" + name.replace("_", "-")


def _one_of(word: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        hint = f"There are {', '.join(known)}."
        raise UnknownNameError(word, value, near_names(value, known), hint)
