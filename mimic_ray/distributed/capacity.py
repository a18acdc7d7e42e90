"""How many workers fit on the nodes of a cluster: none of them lies over two nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# What a node has, or a worker needs, by Ray's names: {"CPU": 8.0, "GPU": 1.0}.
Amounts = Mapping[str, float]


def nodes_of_cluster() -> list[Amounts]:
    """Of the cluster that this process is connected to, those that are alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def places(nodes: Sequence[Amounts], needs: Amounts) -> int:
    """How many workers that need `needs` each fit."""
    wanted = {kind: amount for kind, amount in needs.items() if amount}
    if not wanted:
        return 1 << 30
    return sum(
        int(min(node.get(kind, 0) / amount for kind, amount in wanted.items())) for node in nodes
    )


def total(nodes: Sequence[Amounts], kind: str) -> float:
    return sum(node.get(kind, 0) for node in nodes)


def cpus_shared_out(nodes: Sequence[Amounts], workers: int, gpus_each: float) -> int:
    """The most CPUs that each of so many workers can have, at least 1."""
    most = int(max((node.get("CPU", 0) for node in nodes), default=1))
    for cpus in range(most, 1, -1):
        if places(nodes, {"CPU": cpus, "GPU": gpus_each}) >= workers:
            return cpus
    return 1


def in_words(amounts: Amounts) -> str:
    """`2 CPU + 1 GPU`."""
    return " + ".join(f"{amount:g} {kind}" for kind, amount in amounts.items())
