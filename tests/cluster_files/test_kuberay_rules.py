"""Errors for files that KubeRay's operator refuses after `kubectl apply` has succeeded."""

import pytest

from mimic_ray.cluster_files.kuberay_rules import (
    cluster_rule_problems,
    job_problems,
    name_problems,
)

TOKEN = {"authOptions": {"mode": "token"}}


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("RayCluster", "a" * 53, ""),
        ("RayCluster", "a" * 54, "53 are allowed"),
        ("RayJob", "1st", "start with a letter"),
        ("NetworkPolicy", "1st", ""),
    ],
)
def test_a_name_must_be_short_enough_for_the_names_of_pods(kind, name, words):
    found = [*name_problems({"kind": kind, "metadata": {"name": name}})]
    assert len(found) == bool(words)
    assert all(words in problem.message for problem in found)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({}, None),
        ({"rayClusterSpec": None}, "spec"),
        ({"suspend": True}, "suspend"),
        ({"ttlSecondsAfterFinished": -1}, "ttlSecondsAfterFinished"),
        ({"submissionMode": "InteractiveMode", "backoffLimit": 1}, "backoffLimit"),
        ({"submissionMode": "SidecarMode", "submitterConfig": {}}, "submitterConfig"),
    ],
)
def test_a_job_that_the_operator_refuses_is_an_error(change, key):
    job = {"rayClusterSpec": {"rayVersion": "2.60.0"}, "backoffLimit": 0} | change
    assert [problem.path[-1] for problem in job_problems(job)] == ([key] if key else [])


@pytest.mark.parametrize(
    ("cluster", "group", "key"),
    [
        ({}, {}, None),
        (TOKEN, {}, "authOptions"),
        (TOKEN | {"rayVersion": "2.51.0"}, {}, "rayVersion"),
        (TOKEN | {"rayVersion": "2.52.0"}, {}, None),
        ({"autoscalerOptions": {"idleTimeoutSeconds": -1}}, {}, "idleTimeoutSeconds"),
        ({}, {"minReplicas": -1}, "minReplicas"),
        ({}, {"suspend": True}, "suspend"),
        ({}, {"rayStartParams": {"labels": "a=b"}}, "labels"),
        ({}, {"rayStartParams": {"num-cpus": "1"}, "resources": {"CPU": "1"}}, "num-cpus"),
        ({}, {"template": {"spec": {"restartPolicy": "Always"}}}, "restartPolicy"),
        ({}, {"template": {"spec": {"containers": []}}}, "containers"),
        ({"networkPolicy": {"mode": "DenyAllIngress"}}, {}, "networkPolicy"),
    ],
)
def test_a_cluster_that_the_operator_refuses_is_an_error(cluster, group, key):
    cluster = {"enableInTreeAutoscaling": True, "workerGroupSpecs": [{}, group], **cluster}
    found = [*cluster_rule_problems(cluster, ("spec",))]
    assert [problem.path[-1] for problem in found] == ([key] if key else [])
    assert all(problem.path[:3] == ("spec", "workerGroupSpecs", 1) for problem in found if group)
    # The operator may accept it with a feature gate.
    assert all((problem.level == "warning") == (key == "networkPolicy") for problem in found)
