"""The state of a cluster, as reported by a running or starting head."""

from __future__ import annotations

from collections import Counter

import pytest

from mimic_ray.base.errors import ResourceError
from mimic_ray.jobs.cluster_state import cluster_state, unmet_demand

ELSEWHERE = "192.0.2.77"  # an address for documentation


class Head:
    """A job server that answers like Ray 2.60; `types` are the node types of the autoscaler.

    Its node appears after `late` requests, and the node's command line after twice as many.
    """

    server = "http://head:8265"

    def __init__(self, types, late=0):
        self.types = types
        self.late = late
        self.requests = Counter()

    def get(self, path):
        if path.startswith("/api/v0/nodes") and self.late > self.requests["nodes"]:
            self.requests["nodes"] += 1
            return {"result": True, "msg": "", "data": {"result": {"result": []}}}
        if path.startswith("/nodes"):
            started = self.late <= self.requests["summary"]
            self.requests["summary"] += 1
            words = ["raylet", "--python_worker_command=/env/bin/python worker.py"]
            head = {"raylet": {"isHeadNode": True}, "cmdline": words if started else []}
            return {"data": {"summary": [head]}}
        node = {"node_ip": ELSEWHERE, "is_head_node": True, "resources_total": {"CPU": 2.0}}
        answers = {
            "/api/v0/cluster_metadata": {"data": {"rayVersion": "2.60.0", "pythonVersion": "3.1"}},
            "/api/v0/nodes": {
                "data": {
                    "result": {
                        "result": [{**node, "state": "ALIVE"}, {**node, "state": "DEAD"}],
                    }
                }
            },
            "/api/cluster_status": {
                "data": {"clusterStatus": {"autoscalerReport": {"activeNodes": self.types}}}
            },
        }
        return answers.get(path.partition("?")[0])


def test_dead_nodes_do_not_count():
    assert len(cluster_state(Head({})).nodes) == 1


def test_a_starting_head_is_waited_for():
    """The job server answers before the node appears, and the node before its command line."""
    state = cluster_state(Head({}, late=2), starting_s=30)
    assert len(state.nodes) == 1
    assert state.interpreter == "/env/bin/python"


def test_a_cluster_without_any_node_is_an_error():
    with pytest.raises(ResourceError, match="8265 answers, but its cluster has no running node"):
        cluster_state(Head({}, late=9), starting_s=0)


def test_a_head_started_by_hand_has_no_autoscaler():
    """It sends an autoscaler's report too, with a made-up type for each node."""
    made_up = "node4E2Fc6Ac9C7C3E362A63B5966D5200F2479F75808F462Be5B203Dd9F"
    assert not cluster_state(Head({made_up: 1})).grows
    assert cluster_state(Head({"ray.head.default": 1})).grows


def test_resources_that_the_cluster_cannot_provide_are_listed():
    head = Head({})
    one, two = {"CPU": 2.0, "node:1.2.3.4": 0.1}, {"GPU": 1.0}
    report = {"resourceDemand": [[one, 3]], "pgDemand": [[{"bundles": [[two, 4]]}, 2]]}
    answer = {"data": {"clusterStatus": {"loadMetricsReport": report}}}
    head.get = lambda path: answer
    assert unmet_demand(head) == "3 x 2 CPU, 2 times 4 x 1 GPU"
    head.get = lambda path: None
    assert unmet_demand(head) == ""
