"""The main job on shards that lie in S3 is the main job on shards that lie on disk."""

from __future__ import annotations

import pytest

from mimic_ray.base.resources import Resources
from mimic_ray.base.storage import open_storage
from mimic_ray.data.image_source import open_images
from mimic_ray.data.shard_writer import build
from mimic_ray.workflows.purify import purify


@pytest.mark.slow
def test_where_the_shards_lie_does_not_move_a_bit_of_the_student(
    case, bucket, tmp_path, monkeypatch
):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    build(open_images(case / "images"), tmp_path / "shards", per_shard=15)
    storage = open_storage(f"{bucket}/shards")
    for path in (tmp_path / "shards").iterdir():
        storage.write(path.name, path)
    students = []
    for number, data in enumerate((f"{bucket}/shards", str(tmp_path / "shards"))):
        purified = purify(
            "tiny_resnet",
            case / "teacher.pth",
            data,
            tmp_path / f"run-{number}",
            settings=["training.steps=8", "training.batch=8", "training.precision=fp32"],
            resources=Resources(local=True),
            threads=1,
        )
        students.append((purified.run / "student.safetensors").read_bytes())
    assert students[0] == students[1]
