"""Derives the packaged schemas from KubeRay's CRDs. Run it to support a newer KubeRay.

    python tools/derive_kuberay_schemas.py CRD.yaml... --to mimic_ray/cluster_files/schemas

The CRDs are `helm-chart/kuberay-operator/crds/ray.io_{rayclusters,rayjobs}.yaml` of a release.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path


def derive(crd: str) -> tuple[str, bytes]:
    """The file name and the content for a CRD: the schema of version v1, minified and gzipped."""
    import yaml

    spec = yaml.load(crd, Loader=yaml.CSafeLoader)["spec"]
    schema = next(v for v in spec["versions"] if v["name"] == "v1")["schema"]["openAPIV3Schema"]
    text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
    # Without a time stamp the same CRD gives the same bytes.
    return spec["names"]["singular"] + ".json.gz", gzip.compress(text.encode(), 9, mtime=0)


def main(arguments: list[str]) -> None:
    """Writes one schema for each CRD."""
    if len(arguments) < 3 or arguments[-2] != "--to":
        sys.exit(__doc__)
    for crd in arguments[:-2]:
        name, content = derive(Path(crd).read_text(encoding="utf-8"))
        (Path(arguments[-1]) / name).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1:])
