"""The cluster that a user requests, checked and resolved to machines. Templates read it."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields

from mimic_ray.base.errors import UnknownNameError, UsageError, option
from mimic_ray.base.text import near_names, plain
from mimic_ray.cluster_files import machines, versions

PROVIDERS = ("aws", "gcp", "kuberay")
KINDS = ("raycluster", "rayjob")
_GCP_REGIONS_WITHOUT_A = ("us-east1", "europe-west1")
# Commands whose work runs on the workers of a cluster, and which wait for its capacity.
ON_WORKERS = ("purify", "tune", "compare")
_WITH_ADDRESS = (*ON_WORKERS, "bench")
_DEFAULT_REGIONS = {"aws": "us-west-2", "gcp": "us-central1", "kuberay": ""}
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_NFS_EXPORT = re.compile(r"[\w.-]+:/[\w./-]*")
_VOLUME_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_INTERFACE = re.compile(r"[\w^=,.@-]+")

# Settings of some providers only. A setting without effect is an error.
_CLOUDS = ("aws", "gcp")
_ONLY = {
    **dict.fromkeys(("region", "zone", "disk", "head_role", "worker_role"), _CLOUDS),
    **dict.fromkeys(("subnet", "machine_image"), _CLOUDS),
    **dict.fromkeys(("kind", "token_secret", "node_selector"), ("kuberay",)),
    "security_group": ("aws",),
    "project": ("gcp",),
}


@dataclass(frozen=True)
class ClusterSpec:
    """One cluster. A worker is a Ray Train worker with one GPU, as in `purify --workers`.

    Raises UsageError for incompatible settings.
    """

    provider: str
    gpu: str
    workers: int = 8
    min_workers: int | None = None  # None: all, because `purify` needs all workers to start
    gpus_per_node: int | None = None  # None: the smallest machine that fits all workers
    kind: str = "raycluster"  # Kubernetes only
    name: str = "mimic-ray"
    spot: bool = False
    region: str = ""
    zone: str = ""
    image: str = versions.PLACEHOLDER_IMAGE
    shm: int = 0  # GiB; 0: 8 per GPU
    disk: int = 200  # GB
    shared: str = ""  # HOST:/EXPORT of an NFS server; on Kubernetes a volume claim
    project: str = ""  # GCP only, required there
    head_role: str = "mimic-ray-head"
    worker_role: str = "mimic-ray-worker"
    subnet: str = ""
    security_group: str = ""
    machine_image: str = ""
    interface: str = ""
    token_file: str = "~/.ray/auth_token"
    token_secret: str = "mimic-ray-token"
    node_selector: tuple[tuple[str, str], ...] = ()
    job: tuple[str, ...] = ()  # the command of a RayJob

    def __post_init__(self) -> None:
        _check_choice("provider", self.provider, (*PROVIDERS, "slurm"))
        _check_choice("kind", self.kind, KINDS)
        self._check_provider_settings()
        self._check_numbers()
        self._check_texts()
        if self.image == versions.PLACEHOLDER_IMAGE and self.gpu.lower() in machines.TOO_OLD:
            raise UsageError(
                f"{self.gpu} does not work with the image of cluster/Dockerfile: its PyTorch is "
                "built with CUDA 13, which has no kernels for Volta. Set "
                f"{option('image')} to an image with CUDA 12, or choose another {option('gpu')}."
            )
        self.machine  # noqa: B018 - raises if the provider has none

    def _check_provider_settings(self) -> None:
        for field in fields(self):
            allowed = _ONLY.get(field.name, PROVIDERS)
            if getattr(self, field.name) != field.default and self.provider not in allowed:
                raise UsageError(
                    f"{option(field.name)} applies to {' and '.join(allowed)}, not to "
                    f"{self.provider}."
                )
        if self.provider == "gcp" and not self.project:
            raise UsageError(f"Set {option('project')} to the ID of your GCP project.")
        if self.job and not self.is_job:
            raise UsageError(
                f"A job command needs {option('provider', 'kuberay')} and "
                f"{option('kind', 'rayjob')}."
            )

    def _check_numbers(self) -> None:
        for name, value in (("workers", self.workers), ("disk", self.disk)):
            if value < 1:
                raise UsageError(f"{option(name, value)} must be at least 1.")
        if self.shm < 0:
            raise UsageError(f"{option('shm', self.shm)} must not be negative.")
        if not 0 <= self.fewest_workers <= self.workers:
            raise UsageError(
                f"{option('min_workers', self.min_workers)} must be between 0 and "
                f"{option('workers', self.workers)}."
            )

    def _check_texts(self) -> None:
        for field in fields(self):
            for text in _texts(getattr(self, field.name)):
                if not text.isprintable():  # a line break would end a comment of the file
                    raise UsageError(
                        f'{option(field.name)} "{plain(text, 60)}" has a control character.'
                    )
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f'{option("name")} "{self.name}" must consist of at most 40 lower-case letters, '
                "digits and dashes and start with a letter."
            )
        if self.zone and not self.zone.startswith(self.resolved_region):
            raise UsageError(
                f"{option('zone', self.zone)} is not in {option('region', self.region)}: remove "
                "one of them."
            )
        if self.provider == "kuberay":
            pattern, form = _VOLUME_CLAIM, "the name of a PersistentVolumeClaim"
        else:
            pattern, form = _NFS_EXPORT, "HOST:/EXPORT of an NFS server"
        if self.shared and not pattern.fullmatch(self.shared):
            raise UsageError(f'{option("shared")} "{self.shared}" must be {form}.')
        if self.interface and not _INTERFACE.fullmatch(self.interface):
            raise UsageError(
                f'{option("interface")} "{self.interface}" must be an interface name such as ens5.'
            )

    @property
    def head_machine(self) -> machines.Machine:
        """AWS and GCP only."""
        return machines.HEADS[self.provider]

    @property
    def machine(self) -> machines.Machine:
        """A worker node."""
        return machines.choose(self.provider, self.gpu, self.workers, self.gpus_per_node)

    @property
    def fewest_workers(self) -> int:
        return self.workers if self.min_workers is None else self.min_workers

    @property
    def is_job(self) -> bool:
        return self.provider == "kuberay" and self.kind == "rayjob"

    @property
    def entrypoint(self) -> str:
        """The shell command of a RayJob."""
        default = (
            *("purify", "--encoder", "vit_b16", "--teacher", "/data/teacher.pth"),
            *("--data", "/data/images", "--out", f"/data/runs/{self.name}"),
            *("--workers", str(self.workers), "--gpus-per-worker", "1"),
        )
        words = [*(self.job or default)]
        given = {word.partition("=")[0] for word in words}
        if words[0] in _WITH_ADDRESS and "--address" not in given:
            words += ["--address", "auto"]
        # Only the fewest nodes are there when the job starts.
        waits = self.fewest_workers < self.workers and words[0] in ON_WORKERS
        if waits and "--wait-for-capacity" not in given:
            words += ["--wait-for-capacity", "3600"]
        return shlex.join(["mimic-ray", *words])

    @property
    def volume_claim(self) -> str:
        """The PersistentVolumeClaim of /data on Kubernetes, empty for none. A RayJob needs one."""
        return self.shared or (f"{self.name}-data" if self.is_job else "")

    @property
    def node_labels(self) -> tuple[tuple[str, str], ...]:
        """The labels of the GPU nodes on Kubernetes."""
        return self.node_selector or (("nvidia.com/gpu.product", self.machine.name),)

    @property
    def max_nodes(self) -> int:
        return math.ceil(self.workers / self.machine.gpus)

    @property
    def min_nodes(self) -> int:
        return math.ceil(self.fewest_workers / self.machine.gpus)

    @property
    def shm_gib(self) -> int:
        """/dev/shm of a worker node: Ray's object store and PyTorch's shared tensors."""
        return self.shm or 8 * self.machine.gpus

    @property
    def object_store_bytes(self) -> int:
        """Half of /dev/shm: Ray falls back to the disk if its store does not fit there."""
        return (self.shm_gib << 30) // 2

    @property
    def resolved_region(self) -> str:
        # us-central1-a lies in us-central1, and us-west-2a in us-west-2.
        of_zone = self.zone.rpartition("-")[0] if self.provider == "gcp" else self.zone[:-1]
        return self.region or of_zone or _DEFAULT_REGIONS[self.provider]

    @property
    def resolved_zone(self) -> str:
        """Empty on AWS: any zone of the region. GCP needs one."""
        if self.zone or self.provider != "gcp":
            return self.zone
        letter = "b" if self.resolved_region in _GCP_REGIONS_WITHOUT_A else "a"
        return f"{self.resolved_region}-{letter}"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _texts(part)


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        hint = f"Choose one of {', '.join(known)}."
        raise UnknownNameError(name, value, near_names(value, known), hint)
