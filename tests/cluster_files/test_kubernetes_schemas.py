import gzip
import json
from importlib.resources import files

import jsonschema
import yaml

from mimic_ray.cluster_files.kubernetes_schemas import RAY_API, known_kinds, schema_of
from mimic_ray.cluster_files.schema_checks import schema_problems
from tests.cluster_files.cluster_examples import CLUSTER, FOLDER

SCHEMAS = files("mimic_ray.cluster_files") / "schemas"


def test_only_the_strict_schema_of_kuberay_finds_a_misspelt_key():
    document = next(yaml.safe_load_all((FOLDER / CLUSTER).read_text()))
    document["spec"]["enableIntreeAutoscaling"] = True
    original = json.loads(gzip.decompress((SCHEMAS / "raycluster.json.gz").read_bytes()))
    assert jsonschema.Draft202012Validator(original).is_valid(document)
    (problem,) = schema_problems(schema_of(RAY_API, "RayCluster"), document)
    assert problem.near == ("enableInTreeAutoscaling",)


def test_kinds_of_kubernetes_have_schemas_of_kubernetes():
    kinds = known_kinds()
    assert "NetworkPolicy" in kinds["networking.k8s.io/v1"]
    assert {"Secret", "ConfigMap", "PersistentVolumeClaim"} <= set(kinds["v1"])
    schema = schema_of("v1", "Secret")
    assert [*schema_problems(schema, {"kind": "Secret", "stringData": {"a": "b"}})] == []
    (problem,) = schema_problems(schema, {"kind": "Secret", "stringDat": {"a": "b"}})
    assert problem.near == ("stringData",)


def test_other_kinds_of_kuberay_are_known_but_have_no_schema():
    assert schema_of(RAY_API, "RayService") is None
    assert schema_of(RAY_API, "RayJob")["properties"]["spec"]["additionalProperties"] is False
