"""The versions in cluster files are those of constraints.txt and of the Dockerfile."""

import re

from mimic_ray import __version__
from mimic_ray.cluster_files import versions
from tests.cluster_files.cluster_examples import FOLDER

DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def test_ray_is_the_version_of_the_constraints():
    assert f"ray=={versions.RAY}\n" in (FOLDER.parent / "constraints.txt").read_text()
    assert versions.PLACEHOLDER_IMAGE.endswith(f"/mimic-ray:{__version__}-ray{versions.RAY}")


def test_the_dockerfile_starts_from_the_pinned_ray_and_python():
    base = f"rayproject/ray:{versions.RAY}-py{versions.PYTHON.replace('.', '')}-cpu"
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {base}
    assert f"ray.__version__ == '{versions.RAY}'" in DOCKERFILE
    assert f"(3, {versions.PYTHON.partition('.')[2]})" in DOCKERFILE
