"""What KubeRay's operator would refuse after `kubectl apply` succeeded is an error."""

from __future__ import annotations

import pytest

from mimic_ray.cluster_files.kuberay_rules import (
    cluster_rule_problems,
    job_problems,
    name_problems,
)

TOKEN = {"mode": "token", "secretName": "x"}


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("RayCluster", "a" * 53, ""),
        ("RayCluster", "a" * 54, "53 are allowed"),
        ("RayJob", "a" * 48, "47 are allowed"),
        ("RayJob", "1st", "start with a letter"),
        ("NetworkPolicy", "1st", ""),
    ],
)
def test_a_name_must_leave_space_for_the_names_of_pods(kind, name, words):
    found = [*name_problems({"kind": kind, "metadata": {"name": name}})]
    assert len(found) == bool(words)
    assert all(words in problem.message for problem in found)


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"rayClusterSpec": None}, (), "clusterSelector"),
        ({"suspend": True}, ("suspend",), "shutdownAfterJobFinishes"),
        ({"ttlSecondsAfterFinished": -1}, ("ttlSecondsAfterFinished",), "negative"),
        ({"submissionMode": "InteractiveMode", "backoffLimit": 1}, ("backoffLimit",), "retry"),
        ({"submissionMode": "SidecarMode", "submitterConfig": {}}, ("submitterConfig",), "remove"),
    ],
)
def test_a_job_that_the_operator_refuses_is_an_error(change, path, words):
    job = {"rayClusterSpec": {"rayVersion": "2.60.0"}, "backoffLimit": 0}
    assert [*job_problems(job)] == []
    (problem,) = job_problems(job | change)
    assert problem.path == ("spec", *path)
    assert words in problem.message


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"authOptions": TOKEN}, ("authOptions",), "2.52"),
        ({"authOptions": TOKEN, "rayVersion": "2.51.0"}, ("rayVersion",), "2.52"),
        (
            {"autoscalerOptions": {"idleTimeoutSeconds": -1}},
            ("autoscalerOptions", "idleTimeoutSeconds"),
            "negative",
        ),
    ],
)
def test_a_cluster_that_the_operator_refuses_is_an_error(change, path, words):
    (problem,) = cluster_rule_problems(change, ("spec",))
    assert (problem.level, problem.path) == ("error", ("spec", *path))
    assert words in problem.message


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"minReplicas": -1}, ("minReplicas",), "negative"),
        ({"suspend": True}, ("suspend",), "autoscaling"),
        ({"rayStartParams": {"labels": "a=b"}}, ("rayStartParams", "labels"), "of the group"),
        (
            {"rayStartParams": {"num-cpus": "1"}, "resources": {"CPU": "1"}},
            ("rayStartParams", "num-cpus"),
            "not both",
        ),
        (
            {"template": {"spec": {"restartPolicy": "Always"}}},
            ("template", "spec", "restartPolicy"),
            "Never",
        ),
        (
            {"template": {"spec": {"containers": []}}},
            ("template", "spec", "containers"),
            "no container",
        ),
    ],
)
def test_a_group_that_the_operator_refuses_is_an_error(change, path, words):
    cluster = {"enableInTreeAutoscaling": True, "workerGroupSpecs": [{}, change]}
    (problem,) = cluster_rule_problems(cluster, ("spec",))
    assert problem.path == ("spec", "workerGroupSpecs", 1, *path)
    assert words in problem.message


def test_a_feature_behind_a_gate_is_a_warning():
    (problem,) = cluster_rule_problems({"networkPolicy": {"mode": "DenyAllIngress"}}, ())
    assert problem.level == "warning"
    assert "RayClusterNetworkPolicy" in problem.message
