import gzip
import json

import yaml

from tools.derive_kuberay_schemas import derive


def test_the_schema_of_version_v1_is_derived_to_the_same_bytes():
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
