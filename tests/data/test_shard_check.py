from __future__ import annotations

import json

import pyarrow as pa
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


def test_a_set_as_built_has_no_problem(built):
    assert verify(built) == []


def test_every_bad_shard_is_named_with_what_is_wrong(built):
    (built / "images-00000.tar").unlink()
    cut = built / "images-00001.tar"
    cut.write_bytes(cut.read_bytes()[:-512])
    flip(built / "images-00002.tar", entries(built)[8]["offset"] + 20)
    problems = named(built)
    assert set(problems) == {f"images-0000{number}.tar" for number in range(3)}
    assert "missing" in problems["images-00000.tar"]
    assert "cut" in problems["images-00001.tar"]
    assert entries(built)[8]["key"] in problems["images-00002.tar"]


@pytest.mark.parametrize("place", range(0, 10240, 100))
def test_a_flipped_bit_anywhere_is_noticed(built, place):
    flip(built / "images-00001.tar", place)
    assert set(named(built)) == {"images-00001.tar"}


def test_a_shard_without_its_last_image_is_noticed_without_set_json(built, write_tar):
    (built / SET).unlink()
    kept = {f"{e['key']}.png": e for e in entries(built)[:3]}
    source = open_images(built)
    write_tar(built / "images-00000.tar", {name: source.read(n) for n, name in enumerate(kept)})
    assert "images-00000.tar" in named(built)


def test_a_shard_that_the_manifest_does_not_name_is_noticed(built, write_tar, encoded):
    write_tar(built / "extra.tar", {"x.png": encoded(1)})
    assert named(built) == {"extra.tar": f"is not in {MANIFEST}"}


def test_a_manifest_that_was_changed_is_noticed(built):
    table = pq.read_table(built / MANIFEST)
    pq.write_table(table.slice(0, 8), built / MANIFEST)
    assert {MANIFEST, "images-00002.tar"} <= set(named(built))


def test_without_a_manifest_the_tars_themselves_are_checked(built):
    (built / MANIFEST).unlink()
    (built / SET).unlink()
    assert verify(built) == []
    cut = built / "images-00001.tar"
    cut.write_bytes(cut.read_bytes()[:2048])
    assert set(named(built)) == {"images-00001.tar"}


def test_opening_a_set_notices_missing_and_cut_shards(built):
    cut = built / "images-00001.tar"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-512])
    with pytest.raises(DataError, match=r"images-00001\.tar has 9,728 bytes .* with 10,240"):
        open_images(built)
    (built / SET).unlink()
    cut.write_bytes(whole[:1024])
    with pytest.raises(DataError, match=r"images-00001\.tar is cut"):
        open_images(built)
    cut.unlink()
    with pytest.raises(DataError, match=r"images-00001\.tar is missing"):
        open_images(built)


def test_a_part_of_a_set_may_be_named_by_a_pattern(built):
    assert open_images(f"{built}/images-0000[01].tar").keys == open_images(built).keys[:8]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("shard", "../images-00000.tar"),
        ("shard", ".."),
        ("shard", ""),
        ("offset", -1),
        ("size", -5),
    ],
)
def test_a_manifest_that_points_elsewhere_is_refused(built, column, value):
    rows = entries(built)
    rows[3][column] = value
    pq.write_table(pa.Table.from_pylist(rows), built / MANIFEST)
    with pytest.raises(DataError, match=r"manifest\.parquet is damaged"):
        open_images(built)


@pytest.mark.parametrize("content", [b"", b"<html>", b"PAR1" + bytes(60) + b"PAR1"])
def test_a_manifest_that_is_no_table_is_refused(built, content):
    (built / MANIFEST).write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.parquet cannot be read"):
        open_images(built)


def test_a_manifest_of_other_columns_is_refused(built):
    pq.write_table(pa.table({"name": ["a"], "where": [1]}), built / MANIFEST)
    with pytest.raises(DataError, match=r"manifest\.parquet"):
        open_images(built)


@pytest.mark.parametrize("content", ["", "[]", '{"images": 1}', '{"shards": [1]}'])
def test_a_set_json_that_is_damaged_is_refused(built, content):
    (built / SET).write_text(content)
    with pytest.raises(DataError, match=r"set\.json is damaged"):
        open_images(built)


def test_a_summary_counts_images_shards_and_sizes(built, image_folder):
    facts = summary(str(built))
    assert (facts.images, facts.shards, facts.formats) == (12, 3, {"png": 12})
    assert facts.image_bytes == sum(path.stat().st_size for path in image_folder.glob("*/*.png"))
    assert facts.sides == (10, 12)
    assert facts.labelled
    assert facts.fingerprint == json.loads((built / SET).read_text())["fingerprint"]


def test_places_without_shards_are_refused(tmp_path, image_folder):
    with pytest.raises(DataError, match="holds no shards"):
        verify(image_folder)
    with pytest.raises(DataError, match="no folder"):
        verify(tmp_path / "none")
    with pytest.raises(DataError, match="shards build"):
        summary(str(image_folder))
