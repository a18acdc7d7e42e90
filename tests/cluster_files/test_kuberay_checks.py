"""Mistakes in files for KubeRay, in every document of them."""

from __future__ import annotations

import gzip
import json

import pytest
import yaml

from mimic_ray.cluster_files import strict
from mimic_ray.cluster_files.derive_schemas import derive
from mimic_ray.cluster_files.kuberay_checks import VERSIONS
from tests.cluster_files.cluster_examples import FOLDER, findings, line_of, spoilt

CLUSTER, JOB = "kuberay/raycluster.yaml", "kuberay/rayjob.yaml"
HEAD = "spec.headGroupSpec"
GROUP = "spec.workerGroupSpecs[0]"


@pytest.mark.parametrize(
    ("name", "old", "new", "path", "words"),
    [
        (
            CLUSTER,
            "enableInTree",
            "enableIntree",
            "spec.enableIntreeAuto",
            "enableInTreeAutoscaling?",
        ),
        (CLUSTER, "  image:", "  img:", f"{HEAD}.template.spec.containers[0].img", "mean image?"),
        (CLUSTER, "groupName: gpu\n      ", "", GROUP, '"groupName" is missing'),
        (CLUSTER, "num-cpus: '0'", "num-cpus: 0", f"{HEAD}.rayStartParams.num-cpus", "in quotes"),
        (CLUSTER, "minReplicas: 1", "minReplicas: 9", f"{GROUP}.minReplicas", "9 is more than"),
        (
            CLUSTER,
            "      replicas: 1",
            "      replicas: 9",
            f"{GROUP}.replicas",
            "9 is not between",
        ),
        (CLUSTER, "ray.io/v1", "ray.io/v1alpha1", "apiVersion", "ray.io/v1."),
        (CLUSTER, "apiVersion: ray.io/v1\n", "", "", '"apiVersion" is missing: ray.io/v1'),
        (CLUSTER, "kind: RayCluster", "kind: RayClustr", "kind", "mean RayCluster?"),
        (CLUSTER, "mode: token", "mode: tokens", "spec.authOptions.mode", "mean token?"),
        (CLUSTER, "40Gi", "40GiB", "resources.requests.memory", "320Gi"),
        (
            CLUSTER,
            "nvidia.com/gpu: 1",
            "nvidia.com/gpu: 4",
            "requests[nvidia.com/gpu]",
            "limit of 4",
        ),
        (CLUSTER, "name: shm\n            emp", "name: sham\n            emp", "[0].name", "sham?"),
        (CLUSTER, "\n  name: mimic-ray", "\n  nam: mimic-ray", "metadata.nam", "mean name?"),
        (CLUSTER, "num-cpus:", "num-cpu:", f"{HEAD}.rayStartParams.num-cpu", "mean num-cpus?"),
        (JOB, "object-store-m", "object-stor-m", "rayStartParams.object", "object-store-memory?"),
        (JOB, "entrypoint:", "entrypont:", "spec.entrypont", "mean entrypoint?"),
        (
            JOB,
            "Finishes: true",
            "Finishes: 'true'",
            "spec.shutdownAfterJobFinishes",
            "true or false",
        ),
        (JOB, "backoffLimit: 0", "backofLimit: 0", "spec.backofLimit", "mean backoffLimit?"),
        (
            JOB,
            "maxReplicas",
            "maxReplica",
            "spec.rayClusterSpec.workerGroupSpecs[0]",
            "maxReplicas?",
        ),
        # the second document
        (CLUSTER, "policyTypes", "policyType", "spec.policyType", "mean policyTypes?"),
        (
            CLUSTER,
            "      ports:\n        - p",
            "      port:\n        - p",
            "spec.ingress[1].port",
            "ports",
        ),
        (CLUSTER, "kind: NetworkPolicy", "kind: NetworkPolcy", "kind", "mean NetworkPolicy?"),
        (JOB, "networking.k8s.io/v1", "networking/v1", "apiVersion", "networking.k8s.io/v1"),
    ],
)
def test_a_mistake_is_found_at_its_place(tmp_path, name, old, new, path, words):
    file = spoilt(tmp_path, name, (old, new))
    (found,) = findings(file)
    assert path in found.path
    assert words in found.what
    if new and "containers[0].volume" not in found.path:
        assert found.line == line_of(file, new.strip().splitlines()[0])


HEAD_SPEC = "  headGroupSpec:\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "path", "words"),
    [
        (CLUSTER, "  name: mimic-ray", "  name: " + 54 * "a", "metadata.name", "at most 53"),
        (JOB, "  name: mimic-ray", "  name: " + 48 * "a", "metadata.name", "at most 47"),
        (CLUSTER, "  name: mimic-ray", "  name: 1st", "metadata.name", "a letter first"),
        (JOB, "Finished: 600", "Finished: -1", "spec.ttlSecondsAfterFinished", "below 0"),
        (JOB, "K8sJobMode", "SidecarMode", "spec.submitterConfig", "SidecarMode"),
        (JOB, "rayClusterSpec:", "clusterSelecto:", "spec.clusterSelecto", "clusterSelector?"),
        (CLUSTER, "rayVersion: 2.60.0\n", "", "spec.authOptions", "2.52"),
        (CLUSTER, "rayVersion: 2.60.0", "rayVersion: 2.51.0", "spec.rayVersion", "2.52"),
        (CLUSTER, "Seconds: 600", "Seconds: -1", "autoscalerOptions.idleTimeout", "below 0"),
        (CLUSTER, "minReplicas: 1", "minReplicas: -1", "[0].minReplicas", "below 0"),
        (CLUSTER, HEAD_SPEC, HEAD_SPEC + "    resources: {CPU: '1'}\n", "num-cpus", "only one"),
        (CLUSTER, "      num-cpus", "      labels: a=b\n      num-cpus", "labels", "of the group"),
        (
            CLUSTER,
            "        containers:",
            "        restartPolicy: Always\n        containers:",
            "",
            "Never",
        ),
    ],
)
def test_what_the_operator_would_refuse_later_is_found(tmp_path, name, old, new, path, words):
    file = spoilt(tmp_path, name, (old, new))
    found = [finding for finding in findings(file) if words in finding.what]
    assert found
    assert path in found[0].path


def test_a_job_that_may_be_suspended_must_let_its_cluster_go(tmp_path):
    edits = [("Finishes: true", "Finishes: false"), ("suspend: false", "suspend: true")]
    (found,) = findings(spoilt(tmp_path, JOB, *edits))
    assert (found.path, "shutdownAfterJobFinishes" in found.what) == ("spec.suspend", True)


def test_a_feature_behind_a_gate_is_a_warning(tmp_path):
    policy = "  networkPolicy: {mode: DenyAllIngress}\n"
    file = spoilt(tmp_path, CLUSTER, (HEAD_SPEC, policy + HEAD_SPEC))
    (found,) = findings(file, "warning")
    assert "RayClusterNetworkPolicy" in found.what


def test_a_document_that_is_no_mapping_and_a_kind_of_others_are_told_apart(tmp_path):
    file = spoilt(tmp_path, CLUSTER, ("---\n", "---\n- 3\n---\n"))
    assert [finding.what[:10] for finding in findings(file)] == ["A document"]
    more = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n---\n"
    file = spoilt(tmp_path, CLUSTER, ("---\n", more))
    assert findings(file) == []
    assert any("Deployment is not checked" in note.what for note in findings(file, "note"))


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "Secret", "type": "Opaque"},
        {"kind": "ConfigMap", "data": {"a": "b"}},
        {"kind": "Namespace"},
        {"kind": "ServiceAccount", "automountServiceAccountToken": False},
        {
            "kind": "PersistentVolumeClaim",
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Ti"}},
            },
        },
        {
            "kind": "NetworkPolicy",
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []},
        },
    ],
)
def test_kinds_beside_a_cluster_pass_and_their_misspelt_keys_do_not(tmp_path, document):
    document = {"apiVersion": VERSIONS[document["kind"]], "metadata": {"name": "x"}} | document
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(document))
    assert findings(path) == []
    path.write_text(yaml.safe_dump(document | {"sepc": {}}))
    assert [finding.path for finding in findings(path)] == ["sepc"]


def test_the_schemas_of_kuberay_alone_would_let_a_misspelt_key_pass():
    import jsonschema

    packed = FOLDER.parent / "mimic_ray/cluster_files/schemas/raycluster.json.gz"
    schema = json.loads(gzip.decompress(packed.read_bytes()))
    document = next(yaml.safe_load_all((FOLDER / CLUSTER).read_text()))
    document["spec"]["enableIntreeAutoscaling"] = True
    jsonschema.validate(document, schema)
    assert [*strict.problems(strict.strict(schema), document)]


def test_strict_closes_what_lists_its_keys_and_leaves_open_what_says_so():
    schema = {
        "properties": {
            "metadata": {"type": "object", "properties": {}},
            "free": {"properties": {"a": {}}, "additionalProperties": True},
            "kept": {"properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": True},
            "properties": {"properties": {"b": {"type": "string"}}},
            "list": {"items": {"properties": {"c": {}}}},
        }
    }
    made = strict.strict(schema)
    closed = [
        name for name in schema["properties"] if "additionalProperties" in made["properties"][name]
    ]
    assert closed == ["free", "properties"]
    assert made["properties"]["free"]["additionalProperties"] is True
    assert made["additionalProperties"] is False
    assert made["properties"]["list"]["items"]["additionalProperties"] is False
    assert "additionalProperties" not in schema  # a copy


def test_a_schema_is_derived_to_the_same_bytes_and_is_version_v1():
    crd = {
        "spec": {
            "names": {"singular": "raything"},
            "versions": [
                {"name": "v1alpha1", "schema": {"openAPIV3Schema": {"type": "string"}}},
                {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object"}}},
            ],
        }
    }
    name, content = derive(yaml.safe_dump(crd))
    assert name == "raything.json.gz"
    assert json.loads(gzip.decompress(content)) == {"type": "object"}
    assert derive(yaml.safe_dump(crd))[1] == content


@pytest.mark.parametrize("name", ["raycluster", "rayjob"])
def test_the_packaged_schemas_are_whole(name):
    schema = strict.packaged(name)
    assert schema["properties"]["spec"]["additionalProperties"] is False
    folder = FOLDER.parent / "mimic_ray/cluster_files/schemas"
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert "v1.7.0" in (folder / "README.md").read_text()
