from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.left_out import LeftOut, Omissions
from mimic_ray.data.manifest import (
    Entry,
    fingerprint,
    parse_classes,
    parse_manifest,
    parse_set,
    read_index,
    read_manifest,
    to_parquet,
)

ENTRIES = [
    Entry("a", "x.tar", 512, 10, "00", width=3, height=4, format="png", label=1),
    Entry("b", "x.tar", 2048, 20, "ff"),
]


def test_the_entries_of_a_table_are_read_back(tmp_path):
    content = to_parquet(ENTRIES)
    (tmp_path / "manifest.parquet").write_bytes(content)
    assert parse_manifest(content, "manifest") == ENTRIES
    assert read_manifest(tmp_path / "manifest.parquet") == ENTRIES


@pytest.mark.parametrize("content", [b"", b"<html>", b"PAR1" + bytes(60) + b"PAR1"])
def test_a_file_that_is_not_a_table_is_refused(content):
    with pytest.raises(DataError, match=r"manifest\.parquet cannot be read"):
        parse_manifest(content, "manifest.parquet")


def test_a_table_with_other_columns_is_refused(tmp_path):
    pq.write_table(pa.table({"name": ["a"], "where": [1]}), tmp_path / "manifest.parquet")
    with pytest.raises(DataError, match=r"manifest\.parquet"):
        read_manifest(tmp_path / "manifest.parquet")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"images": 1}', b'{"shards": [1]}'])
def test_a_damaged_set_json_is_refused(content):
    with pytest.raises(DataError, match=r"set\.json is damaged"):
        parse_set(content, "set.json")


@pytest.mark.parametrize(
    ("content", "names"),
    [(b'["a", {"name": "b"}]', ["a", "b"]), (b"[1]", ["1"]), (b"{", None), (b"[{}]", None)],
)
def test_class_names_are_strings_or_objects_with_a_name(content, names):
    assert parse_classes(content) == names


def test_an_index_keeps_what_was_left_out(tmp_path):
    left_out = Omissions()
    left_out.add("hidden", "._a.png")
    left_out.add("hidden", "._b.png")
    (tmp_path / "index.parquet").write_bytes(to_parquet(ENTRIES, left_out))
    assert read_index(tmp_path / "index.parquet") == (ENTRIES, {"hidden": LeftOut(2, "._a.png")})


def test_a_manifest_without_the_column_of_class_names_is_read(tmp_path):
    table = pq.read_table(pa.BufferReader(to_parquet(ENTRIES))).drop_columns("class_name")
    pq.write_table(table, tmp_path / "manifest.parquet")
    assert read_manifest(tmp_path / "manifest.parquet") == ENTRIES


def test_the_fingerprint_depends_on_keys_hashes_and_order_only():
    moved = [entry._replace(shard="y.tar", offset=0, label=None) for entry in ENTRIES]
    assert fingerprint(moved) == fingerprint(ENTRIES)
    assert fingerprint(ENTRIES[::-1]) != fingerprint(ENTRIES)
