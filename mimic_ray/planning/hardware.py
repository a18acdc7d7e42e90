"""Published figures of accelerators. Peaks are for dense matrices and are never reached.

The source is given for each card. T4 and V100 have no bf16, so their fp32 figure is used instead.
Data sheets from H100 on have tensor figures with sparsity, which are halved here. `link` is the
bandwidth of one GPU to others in its node in one direction: half the published NVLink figure, or
PCIe. `network` is a GPU's share of the network between nodes, which depends on the machine (DGX: an
adapter of 400 or 200 Gb/s per GPU; others: 25 Gb/s).
"""

from __future__ import annotations

from dataclasses import dataclass

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.base.text import near_names

GIB = 1 << 30


@dataclass(frozen=True)
class Hardware:
    """One device. Bytes, FLOP/s, bytes/s."""

    name: str
    memory: float
    bf16: float
    fp32: float
    bandwidth: float
    link: float  # to others in its node
    network: float  # to other nodes
    per_node: int = 8

    def peak(self, precision: str) -> float:
        return self.bf16 if precision == "bf16" else self.fp32


def _gpu(
    name: str, gb: int, bf16: float, fp32: float, bandwidth: float, link: float, network: float
) -> Hardware:
    """GB as in the data sheet (2^30 bytes), TFLOP/s, GB/s."""
    return Hardware(
        name, gb * GIB, bf16 * 1e12, fp32 * 1e12, bandwidth * 1e9, link * 1e9, network * 1e9
    )


HARDWARE = {
    gpu.name: gpu
    for gpu in (
        #    name        GB   bf16    fp32   GB/s   link  network
        # NVIDIA A100 Tensor Core GPU data sheet, columns SXM of 80 and 40 GB.
        _gpu("a100", 80, 312, 19.5, 2039, 300, 25),
        _gpu("a100_40", 40, 312, 19.5, 1555, 300, 25),
        # NVIDIA H100 Tensor Core GPU architecture white paper, table of H100 SXM5; 3.35 TB/s from
        # the data sheet.
        _gpu("h100", 80, 989.4, 66.9, 3350, 450, 50),
        # NVIDIA H200 Tensor Core GPU data sheet, SXM: the processor of the H100.
        _gpu("h200", 141, 989.4, 66.9, 4800, 450, 50),
        # NVIDIA L4 Tensor Core GPU data sheet: 242 with sparsity; PCIe 4.0 x16.
        _gpu("l4", 24, 121, 30.3, 300, 32, 3.125),
        # NVIDIA L40S data sheet: 733 with sparsity; PCIe 4.0 x16.
        _gpu("l40s", 48, 362, 91.6, 864, 32, 3.125),
        # NVIDIA A10G data sheet for AWS G5 (not the A10, which has 125 in bf16); PCIe 4.0 x16.
        _gpu("a10g", 24, 70, 35, 600, 32, 3.125),
        # NVIDIA T4 Tensor Core GPU data sheet; PCIe 3.0 x16.
        _gpu("t4", 16, 8.1, 8.1, 320, 16, 3.125),
        # NVIDIA V100 Tensor Core GPU data sheet, SXM2.
        _gpu("v100", 32, 15.7, 15.7, 900, 150, 3.125),
        # NVIDIA Ada GPU architecture white paper, table of GeForce RTX 4090: bf16 summed in fp32.
        _gpu("rtx4090", 24, 165.2, 82.6, 1008, 32, 3.125),
    )
}


def find(name: str) -> Hardware:
    """The card called `name`. Raises UnknownNameError with similar names."""
    if name.lower() not in HARDWARE:
        raise UnknownNameError(
            "gpu", name, near_names(name, HARDWARE), f"Known: {', '.join(HARDWARE)}."
        )
    return HARDWARE[name.lower()]
