"""Which workers fit on which nodes."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import ResourceError
from mimic_ray.distributed.capacity import cpus_shared_out, places
from mimic_ray.distributed.trainer import check_resources
from mimic_ray.execution.resources import Workers

HEAD, GPUS = {"CPU": 4.0}, {"CPU": 32.0, "GPU": 4.0}


def test_no_worker_lies_over_two_nodes():
    assert places([{"CPU": 3}, {"CPU": 3}], {"CPU": 2}) == 2
    assert places([HEAD, GPUS], {"CPU": 1, "GPU": 1}) == 4


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "expected"),
    [
        ([HEAD], 1, 0, 4),
        ([HEAD], 3, 0, 1),
        ([HEAD, GPUS], 4, 1, 8),
        ([HEAD, GPUS, GPUS], 8, 1, 8),
        ([{"CPU": 1}, {"CPU": 1}], 1, 0, 1),
        ([HEAD], 4, 1, 1),  # none has room: the nodes are still to come, or it is refused
        ([], 1, 0, 1),
    ],
)
def test_the_cpus_of_the_nodes_are_shared_out(nodes, workers, gpus, expected):
    assert cpus_shared_out(nodes, workers, gpus) == expected


def test_workers_without_room_are_refused_unless_nodes_may_come():
    wide = Workers(1, cpus_each=2, address="auto")
    with pytest.raises(ResourceError, match="1 worker of 2 CPU each: the cluster has 2 CPU on 2 n"):
        check_resources([{"CPU": 1}, {"CPU": 1}], wide)
    check_resources([{"CPU": 1}], Workers(1, cpus_each=2, address="auto", room_s=60))
