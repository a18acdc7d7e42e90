from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mimic_ray.weight_files.inert import StorageRef, TensorRef
from mimic_ray.weight_files.pickle_machine import PickleError
from mimic_ray.weight_files.storages import Storages, elements


def test_storages_are_read_by_position(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    with path.open("rb") as file:
        storages = Storages(file.fileno(), {"a": (10, 5), "b": (90, 20)})
        assert [*storages.read(StorageRef("a", "uint8", 0, 5, 5))] == [10, 11, 12, 13, 14]
        with pytest.raises(PickleError, match='"b" ends early'):
            storages.read(StorageRef("b", "uint8", 0, 20, 20))
        assert [*storages.read(StorageRef("c", "uint8", 0, 2, 2, b"\1\2"))] == [1, 2]
        storages.check({"a": StorageRef("a", "uint8", 0, 5, 5)})
        with pytest.raises(PickleError, match='"a" of 6 bytes is 5 bytes'):
            storages.check({"a": StorageRef("a", "uint8", 0, 6, 6)})
        with pytest.raises(PickleError, match='"c" of 1 bytes is missing'):
            storages.check({"c": StorageRef("c", "uint8", 0, 1, 1)})


def test_elements_follow_offset_and_strides() -> None:
    content = np.arange(40, dtype="<u2").view(np.uint8)
    part = StorageRef("a", "float16", 20, 40, 80)
    ref = TensorRef(part, "float16", 2, (2, 3), (1, 4))
    assert elements(ref, content).tolist() == [[12, 16, 20], [13, 17, 21]]
    scalar = TensorRef(part, "float16", 0, (), ())
    assert elements(scalar, content).item() == 10
    empty = TensorRef(part, "float16", 19, (3, 0), (1, 1))
    assert elements(empty, content).shape == (3, 0)
