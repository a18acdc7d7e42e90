"""The machines of each provider by GPU.

GPU names are those of `mimic-ray plan`: a100 has 80 GB, a100_40 has 40 GB. The figures for AWS are
from its API (a test compares them with the copy in moto), those for GCP from its page "GPU machine
types" (A2 and A3 were compared with a public catalogue of November 2026). Among machines with the
same GPUs, the table has the one with about 16 CPUs per GPU, because CPUs decode and augment images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mimic_ray.base.errors import UnknownNameError, UsageError, option
from mimic_ray.base.text import near_names


@dataclass(frozen=True)
class Machine:
    """One kind of node. Memory in GiB. `accelerator` is the GPU that GCP attaches to an N1."""

    name: str
    gpus: int
    cpus: int
    memory: int
    accelerator: str = ""


AWS: Mapping[str, tuple[Machine, ...]] = {
    "t4": (
        Machine("g4dn.4xlarge", 1, 16, 64),
        Machine("g4dn.12xlarge", 4, 48, 192),
        Machine("g4dn.metal", 8, 96, 384),
    ),
    "a10g": (
        Machine("g5.4xlarge", 1, 16, 64),
        Machine("g5.12xlarge", 4, 48, 192),
        Machine("g5.48xlarge", 8, 192, 768),
    ),
    "l4": (
        Machine("g6.4xlarge", 1, 16, 64),
        Machine("g6.12xlarge", 4, 48, 192),
        Machine("g6.48xlarge", 8, 192, 768),
    ),
    "l40s": (
        Machine("g6e.4xlarge", 1, 16, 128),
        Machine("g6e.12xlarge", 4, 48, 384),
        Machine("g6e.48xlarge", 8, 192, 1536),
    ),
    "a100_40": (Machine("p4d.24xlarge", 8, 96, 1152),),
    "a100": (Machine("p4de.24xlarge", 8, 96, 1152),),
    "h100": (Machine("p5.4xlarge", 1, 16, 256), Machine("p5.48xlarge", 8, 192, 2048)),
    "h200": (Machine("p5en.48xlarge", 8, 192, 2048),),
}

_T4, _V100 = "nvidia-tesla-t4", "nvidia-tesla-v100"
GCP: Mapping[str, tuple[Machine, ...]] = {
    "t4": (
        Machine("n1-standard-16", 1, 16, 60, _T4),
        Machine("n1-standard-32", 2, 32, 120, _T4),
        Machine("n1-standard-64", 4, 64, 240, _T4),
    ),
    "v100": (  # at most 12 CPUs a GPU
        Machine("n1-standard-8", 1, 8, 30, _V100),
        Machine("n1-standard-32", 4, 32, 120, _V100),
        Machine("n1-standard-64", 8, 64, 240, _V100),
    ),
    "l4": (
        Machine("g2-standard-16", 1, 16, 64),
        Machine("g2-standard-24", 2, 24, 96),
        Machine("g2-standard-48", 4, 48, 192),
        Machine("g2-standard-96", 8, 96, 384),
    ),
    "a100_40": (
        Machine("a2-highgpu-1g", 1, 12, 85),
        Machine("a2-highgpu-2g", 2, 24, 170),
        Machine("a2-highgpu-4g", 4, 48, 340),
        Machine("a2-highgpu-8g", 8, 96, 680),
    ),
    "a100": (
        Machine("a2-ultragpu-1g", 1, 12, 170),
        Machine("a2-ultragpu-2g", 2, 24, 340),
        Machine("a2-ultragpu-4g", 4, 48, 680),
        Machine("a2-ultragpu-8g", 8, 96, 1360),
    ),
    "h100": (  # fewer than 8 only as spot machines or by reservation
        Machine("a3-highgpu-1g", 1, 26, 234),
        Machine("a3-highgpu-2g", 2, 52, 468),
        Machine("a3-highgpu-4g", 4, 104, 936),
        Machine("a3-highgpu-8g", 8, 208, 1872),
    ),
    "h200": (Machine("a3-ultragpu-8g", 8, 224, 2952),),
}

HEADS = {"aws": Machine("m7i.2xlarge", 0, 8, 32), "gcp": Machine("n2-standard-8", 0, 8, 32)}

# The value of the node label `nvidia.com/gpu.product`, which NVIDIA's GPU feature discovery sets. A
# pod requests slightly less CPU and memory per GPU than the machines above have.
_PRODUCTS = {
    "t4": "Tesla-T4",
    "v100": "Tesla-V100-SXM2-32GB",
    "a10g": "NVIDIA-A10G",
    "l4": "NVIDIA-L4",
    "l40s": "NVIDIA-L40S",
    "a100_40": "NVIDIA-A100-SXM4-40GB",
    "a100": "NVIDIA-A100-SXM4-80GB",
    "h100": "NVIDIA-H100-80GB-HBM3",
    "h200": "NVIDIA-H200",
}
KUBERNETES: Mapping[str, tuple[Machine, ...]] = {
    gpu: tuple(Machine(product, count, 10 * count, 40 * count) for count in (1, 2, 4, 8))
    for gpu, product in _PRODUCTS.items()
}

CLOUDS = {"aws": AWS, "gcp": GCP, "kuberay": KUBERNETES}

# The pinned PyTorch is built with CUDA 13, which has no kernels for Volta.
TOO_OLD = ("v100",)


def choose(provider: str, gpu: str, workers: int, gpus_per_node: int | None) -> Machine:
    """The smallest machine that fits all workers, else the largest.

    With `gpus_per_node`, the machine with that many GPUs. Raises UnknownNameError for a GPU that
    the provider does not have, UsageError for another number of GPUs.
    """
    machines = CLOUDS[provider]
    if gpu.lower() not in machines:
        hint = f"{_TITLES[provider]} has {', '.join(machines)}."
        raise UnknownNameError("gpu", gpu, near_names(gpu, machines), hint)
    sizes = machines[gpu.lower()]
    if gpus_per_node is not None:
        for machine in sizes:
            if machine.gpus == gpus_per_node:
                return machine
        there = ", ".join(str(machine.gpus) for machine in sizes)
        raise UsageError(
            f"{option('gpus_per_node', gpus_per_node)} is not available: {_TITLES[provider]} has "
            f"{gpu} by {there} in a node."
        )
    return next((machine for machine in sizes if machine.gpus >= workers), sizes[-1])


_TITLES = {"aws": "AWS", "gcp": "GCP", "kuberay": "the table for Kubernetes"}
