"""Mistakes in Kubernetes files: each is one error on its line, with the name that was meant."""

from __future__ import annotations

import pytest
import yaml

from mimic_ray.cluster_files import kubernetes_checks, kubernetes_schemas
from tests.cluster_files.cluster_examples import CLUSTER, JOB, check_one_error, edited, findings

GROUP = "spec.workerGroupSpecs[0]"
LIMITS = "requests[nvidia.com/gpu]"


@pytest.mark.parametrize(
    ("name", "old", "new", "path", "words"),
    [
        (CLUSTER, "enableInTree", "enableIntree", "spec.enableIntree", "enableInTreeAutoscaling?"),
        (CLUSTER, "groupName: gpu\n      ", "", GROUP, '"groupName" is missing'),
        (CLUSTER, "40Gi", "40GiB", "resources.requests.memory", "320Gi"),
        (CLUSTER, "\n  name: mimic-ray", "\n  nam: mimic-ray", "metadata.nam", "mean name?"),
        (JOB, "entrypoint:", "entrypont:", "spec.entrypont", "mean entrypoint?"),
        # apiVersion and kind
        (CLUSTER, "ray.io/v1", "ray.io/v1alpha1", "apiVersion", "mean ray.io/v1?"),
        (CLUSTER, "apiVersion: ray.io/v1\n", "", "", '"apiVersion" is missing'),
        (CLUSTER, "kind: RayCluster", "kind: RayClustr", "kind", "mean RayCluster?"),
        # rules that KubeRay's schemas do not express
        (CLUSTER, "minReplicas: 1", "minReplicas: 9", f"{GROUP}.minReplicas", "9 is more than"),
        (CLUSTER, "      replicas: 1", "      replicas: 9", f"{GROUP}.replicas", "not between"),
        (CLUSTER, "nvidia.com/gpu: 1", "nvidia.com/gpu: 4", LIMITS, "the same limit"),
        (CLUSTER, "num-cpus:", "num-cpu:", "rayStartParams.num-cpu", "mean num-cpus?"),
        # the second document
        (CLUSTER, "policyTypes", "policyType", "spec.policyType", "mean policyTypes?"),
        (CLUSTER, "kind: NetworkPolicy", "kind: NetworkPolcy", "kind", "mean NetworkPolicy?"),
        (JOB, "networking.k8s.io/v1", "networking/v1", "apiVersion", "networking.k8s.io/v1?"),
    ],
)
def test_a_mistake_is_one_error_at_its_path_and_line(tmp_path, name, old, new, path, words):
    check_one_error(tmp_path, name, old, new, path, words)


def test_a_mount_without_a_volume_of_its_pod_is_an_error(tmp_path):
    file = edited(tmp_path, CLUSTER, ("name: shm\n            emp", "name: sham\n            emp"))
    (found,) = findings(file)
    assert found.path.endswith("containers[0].volumeMounts[0].name")
    assert "mean sham?" in found.message


def test_two_groups_with_one_name_are_an_error(tmp_path):
    file = edited(tmp_path, CLUSTER)
    cluster, policy = yaml.safe_load_all(file.read_text())
    cluster["spec"]["workerGroupSpecs"] *= 2
    file.write_text(yaml.safe_dump_all([cluster, policy]))
    (found,) = findings(file)
    assert found.path == "spec.workerGroupSpecs[1].groupName"


def test_a_document_that_is_not_a_mapping_is_an_error_and_a_custom_resource_a_note(tmp_path):
    file = edited(tmp_path, CLUSTER, ("---\n", "---\n- 3\n---\n"))
    assert [found.message[:21] for found in findings(file)] == ["A Kubernetes document"]
    custom = "apiVersion: example.com/v1\nkind: Backup\nmetadata: {name: x}\n"
    file = edited(tmp_path, CLUSTER, ("---\n", f"---\n{custom}---\n"))
    assert findings(file) == []
    assert any("Backup is not checked." in note.message for note in findings(file, "note"))


def test_without_kubernetes_validate_a_note_says_what_is_not_checked(tmp_path, monkeypatch):
    kubernetes_schemas.known_kinds.cache_clear()
    monkeypatch.setattr(kubernetes_schemas, "core_installed", lambda: False)
    monkeypatch.setattr(kubernetes_checks, "core_installed", lambda: False)
    file = edited(tmp_path, CLUSTER, ("policyTypes", "policyType"))
    assert findings(file) == []
    notes = [note.message for note in findings(file, "note")]
    assert any("NetworkPolicy is not checked: install" in note for note in notes)
    kubernetes_schemas.known_kinds.cache_clear()
