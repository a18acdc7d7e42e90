from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.image_source import open_images
from mimic_ray.data.manifest import MANIFEST, SET
from mimic_ray.data.shard_check import summary, verify
from mimic_ray.data.shard_writer import build


@pytest.fixture
def built(image_folder, tmp_path):
    build(open_images(image_folder), tmp_path / "set", per_shard=4)
    return tmp_path / "set"


def entries(folder) -> list[dict]:
    return pq.read_table(folder / MANIFEST).to_pylist()


def flip(path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def named(folder) -> dict[str, str]:
    return {problem.file: problem.what for problem in verify(folder)}


def test_a_new_set_has_no_problems(built):
    assert verify(built) == []


def test_every_bad_shard_is_reported_with_its_problem(built):
    (built / "images-00000.tar").unlink()
    truncated = built / "images-00001.tar"
    truncated.write_bytes(truncated.read_bytes()[:-512])
    flip(built / "images-00002.tar", entries(built)[8]["offset"] + 20)
    problems = named(built)
    assert set(problems) == {f"images-0000{number}.tar" for number in range(3)}
    assert "missing" in problems["images-00000.tar"]
    assert "truncated" in problems["images-00001.tar"]
    assert entries(built)[8]["key"] in problems["images-00002.tar"]


@pytest.mark.parametrize("offset", range(0, 10240, 100))
def test_a_flipped_bit_anywhere_is_found(built, offset):
    flip(built / "images-00001.tar", offset)
    assert set(named(built)) == {"images-00001.tar"}


def test_a_shard_without_its_last_image_is_found_without_set_json(built, write_tar):
    (built / SET).unlink()
    kept = {f"{e['key']}.png": e for e in entries(built)[:3]}
    source = open_images(built)
    write_tar(built / "images-00000.tar", {name: source.read(n) for n, name in enumerate(kept)})
    assert "images-00000.tar" in named(built)


def test_a_shard_that_the_manifest_does_not_list_is_found(built, write_tar, encoded):
    write_tar(built / "extra.tar", {"x.png": encoded(1)})
    assert named(built) == {"extra.tar": f"is not in {MANIFEST}"}


def test_a_changed_manifest_is_found(built):
    table = pq.read_table(built / MANIFEST)
    pq.write_table(table.slice(0, 8), built / MANIFEST)
    assert {MANIFEST, "images-00002.tar"} <= set(named(built))


def test_without_a_manifest_the_structure_of_the_tars_is_checked(built):
    (built / MANIFEST).unlink()
    (built / SET).unlink()
    assert verify(built) == []
    truncated = built / "images-00001.tar"
    truncated.write_bytes(truncated.read_bytes()[:2048])
    assert set(named(built)) == {"images-00001.tar"}


def test_a_summary_counts_images_shards_and_sizes(built, image_folder):
    facts = summary(str(built))
    assert (facts.images, facts.shards, facts.formats) == (12, 3, {"png": 12})
    assert facts.image_bytes == sum(path.stat().st_size for path in image_folder.glob("*/*.png"))
    assert facts.sides == (10, 12)
    assert facts.labelled
    assert facts.fingerprint == json.loads((built / SET).read_text())["fingerprint"]


def test_a_location_without_shards_is_refused(tmp_path, image_folder):
    with pytest.raises(DataError, match="contains no shards"):
        verify(image_folder)
    with pytest.raises(DataError, match="is not a folder"):
        verify(tmp_path / "none")
    with pytest.raises(DataError, match="shards build"):
        summary(str(image_folder))
