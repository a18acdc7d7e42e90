"""Tables of Hugging Face, in the layouts that its library writes."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.data.image_source import open_images
from mimic_ray.data.left_out import LeftOut


@pytest.fixture
def table(encoded):
    """image numbers -> a table as `datasets` writes it; labels are the numbers modulo 2."""

    def make(numbers, **more) -> pa.Table:
        label = {"names": ["cat", "dog"], "_type": "ClassLabel"}
        features = {"features": {"image": {"_type": "Image"}, "label": label}}
        columns = {
            "image": [{"bytes": encoded(n), "path": f"{n}.png"} for n in numbers],
            "label": [n % 2 for n in numbers],
            **more,
        }
        return pa.table(columns).replace_schema_metadata(
            {"huggingface": json.dumps({"info": features})}
        )

    return make


@pytest.fixture
def folder(tmp_path):
    """A folder that does not contain the cache."""
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def write_stream(path, table, rows=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table, rows)


def test_a_parquet_file_gives_images_labels_and_class_names(folder, table, encoded, cache):
    pq.write_table(table(range(40)), folder / "train-00000-of-00001.parquet", row_group_size=7)
    source = open_images(folder / "train-00000-of-00001.parquet")
    assert source.read_many([39, 0, 7]) == [encoded(39), encoded(0), encoded(7)]
    assert source.labels == [number % 2 for number in range(40)]
    assert source.classes == ["cat", "dog"]
    assert 'column "image" (labels from "label")' in source.notes[0]
    (unpacked,) = (cache / "tars").iterdir()
    again = open_images(folder)
    assert (again.fingerprint, again.keys) == (source.fingerprint, source.keys)
    assert unpacked.stat().st_size == sum(len(encoded(n)) for n in range(40))


def test_several_parquet_files_are_one_set_and_splits_are_not(folder, table, encoded):
    (folder / "data").mkdir()
    for part in range(2):
        pq.write_table(table(range(3 * part, 3 * part + 3)), folder / f"data/train-{part}.parquet")
    source = open_images(folder)
    assert source.keys == [f"train-{part}/{row:06}" for part in range(2) for row in range(3)]
    assert source.read_many(range(6)) == [encoded(n) for n in range(6)]
    pq.write_table(table([9]), folder / "data/test-0.parquet")
    with pytest.raises(
        DataError, match=r'1 table of test and 2 tables of train.*train-\*\.parquet"'
    ):
        open_images(folder)
    assert len(open_images(folder / "data/train-*.parquet")) == 6


def test_a_folder_of_save_to_disk_is_read(folder, table, encoded):
    write_stream(folder / "train/data-00000-of-00001.arrow", table(range(10)))
    write_stream(folder / "train/cache-0a1b.arrow", table([50]))
    (folder / "train/state.json").write_text("{}")
    source = open_images(folder)
    assert source.read_many(range(10)) == [encoded(n) for n in range(10)]
    assert source.left_out == {
        "a cache of the datasets library": LeftOut(1, "train/cache-0a1b.arrow")
    }
    write_stream(folder / "test/data-00000-of-00001.arrow", table([3]))
    with pytest.raises(DataError, match=r"test \(1 table\) and train \(1 table\)"):
        open_images(folder)


def test_an_arrow_file_with_random_access_is_read_too(tmp_path, table, encoded):
    with pa.ipc.new_file(tmp_path / "a.arrow", table(range(3)).schema) as file:
        file.write_table(table(range(3)))
    assert open_images(tmp_path / "a.arrow").read(2) == encoded(2)


@pytest.mark.parametrize(
    ("columns", "image", "label"),
    [
        ({"img": [b"x"], "fine_label": [3]}, "img", "fine_label"),
        ({"jpg": [b"x"], "mask": [b"y"]}, "jpg", ""),
        ({"pixels": [b"x"], "label": ["cat"]}, "pixels", "label"),
        ({"pixels": [b"x"], "label": [0.5]}, "pixels", ""),
    ],
)
def test_columns_are_found_by_name_and_type(tmp_path, columns, image, label):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    source = open_images(tmp_path / "a.parquet")
    assert source.read(0) == b"x"
    assert (
        f'"{image}" ({f"labels from {chr(34)}{label}{chr(34)}" if label else "no labels"})'
        in (source.notes[0])
    )
    assert source.left_out == (
        {"another column of images": LeftOut(1, "a.parquet: mask")} if "mask" in columns else {}
    )


def test_texts_are_class_names_and_minus_one_is_no_label(tmp_path, encoded):
    images = [encoded(n) for n in range(4)]
    pq.write_table(
        pa.table({"image": images, "label": ["b", "a", "b", "a"]}), tmp_path / "a.parquet"
    )
    source = open_images(tmp_path / "a.parquet")
    assert (source.labels, source.classes) == ([1, 0, 1, 0], ["a", "b"])
    pq.write_table(pa.table({"image": images, "label": [-1] * 4}), tmp_path / "b.parquet")
    assert open_images(tmp_path / "b.parquet").labels is None


def test_a_path_in_a_table_is_not_opened(tmp_path, encoded):
    (tmp_path / "secret.png").write_bytes(encoded(1))
    path = str(tmp_path / "secret.png")
    rows = [{"bytes": encoded(2), "path": path}, {"bytes": None, "path": path}]
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet")
    source = open_images(tmp_path / "a.parquet")
    assert [source.read(row) for row in range(len(source))] == [encoded(2)]
    assert source.left_out == {
        "a row without the bytes of its image": LeftOut(1, "a.parquet: row 1")
    }
    pq.write_table(pa.table({"image": rows[1:]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="only their paths"):
        open_images(tmp_path / "b.parquet")


def test_a_table_without_one_clear_column_is_refused(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"no column of images: text, label\. Convert it"):
        open_images(tmp_path / "a.parquet")
    pq.write_table(pa.table({"left": [b"a"], "right": [b"b"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="several columns of images: left, right"):
        open_images(tmp_path / "b.parquet")


def test_a_table_that_unpacks_to_far_more_than_images_is_refused(tmp_path, monkeypatch):
    pq.write_table(pa.table({"image": [bytes(5 << 20)] * 4}), tmp_path / "a.parquet")
    monkeypatch.setattr("mimic_ray.data.table_images.limit_bytes", lambda packed: 1 << 20)
    with pytest.raises(DataError, match="far more than images"):
        open_images(tmp_path / "a.parquet")
    monkeypatch.setattr("mimic_ray.data.table_images._check_claims", lambda *_: None)
    with pytest.raises(DataError, match="far more than images"):
        open_images(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_random_damage_raises_only_data_errors(tmp_path, table, name):
    import numpy as np

    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table(range(8)), path)
    else:
        write_stream(path, table(range(8)))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(
            damaged[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.2 else damaged
        )
        try:
            source = open_images(path)
            source.read_many(range(len(source)))
        except (DataError, BrokenImageError):
            continue


def test_an_empty_file_is_refused(tmp_path):
    for name in ("a.parquet", "a.arrow"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=name):
            open_images(tmp_path / name)
