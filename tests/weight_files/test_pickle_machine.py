"""Pickles of every protocol are understood without importing or calling what they name."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
from collections import Counter, OrderedDict
from pathlib import Path

import pytest

from mimic_ray.base.errors import CheckpointError, DamagedCheckpointError
from mimic_ray.weight_files.inert import OpaqueKey, Placeholder
from mimic_ray.weight_files.pickle_machine import run_pickle
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.torch_objects import TorchObjects
from tests.weight_files import crafted

PLAIN = [
    None,
    [True, False, 0, -1, 255, 256, 65536, -(2**31), 2**31, 2**70, -(2**70), 1.5, float("inf")],
    ["", "text", "Grüße \n\\ \U0001f600", b"", b"bytes\n", bytearray(b"abc"), 1 + 2j],
    {"a": (), "b": (1,), "c": (1, 2), "d": (1, 2, 3), "e": (1, 2, 3, 4), 5: {"f": [[]]}},
    {(1, "a"): 1, None: 2, 1.5: 3, b"k": 4},
    {1, 2, "three"},
    frozenset((1, 2)),
    OrderedDict([("z", 1), ("a", [2])]),
    Counter("aab"),
    ["shared"] * 300,
    "long" * 100_000,
]


def run(content: bytes) -> object:
    return run_pickle(io.BytesIO(content), TorchObjects())


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_values_are_what_the_standard_library_reads(value: object, protocol: int) -> None:
    found = run(pickle.dumps(value, protocol))
    assert found == value
    assert type(found) is type(value)


def test_shared_and_recursive_containers_stay_so() -> None:
    inner: list[object] = []
    inner.append(inner)
    for protocol in range(6):
        first, second = run(pickle.dumps([inner, inner], protocol))  # type: ignore[misc]
        assert first is second
        assert first[0] is first


@pytest.mark.parametrize("operation", crafted.opcodes(Path("x")))
def test_no_opcode_runs_anything(operation: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    called = crafted.opcodes(canary)[operation]
    pickled = b"\x80\x02" + called + b"."
    modules = set(sys.modules)
    try:
        found = crafted.loaded(crafted.with_pickle(lambda _: pickled), tmp_path)
    except DamagedCheckpointError:  # tensors of other things, keys of text
        pass
    else:
        assert any(found.foreign.values())
        assert not found.tree
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "loaded.pth")
    assert not canary.exists()
    assert not {"antigravity", "this"} & (set(sys.modules) - modules)


def test_a_module_that_a_pickle_names_is_not_imported() -> None:
    sys.modules.pop("this", None)
    for pickled in (b"cthis\nd\n.", b"(ithis\nd\n.", crafted.text("this") * 2 + b"\x93."):
        run(b"\x80\x04" + pickled)
    assert "this" not in sys.modules


def test_a_payload_of_the_test_does_create_its_file_when_it_is_loaded(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    canary = tmp_path / "canary"
    for operation in ("REDUCE", "STACK_GLOBAL", "INST", "OBJ", "eval", "key", "state of a call"):
        canary.unlink(missing_ok=True)
        with contextlib.suppress(Exception):  # after the call
            pickle.loads(b"\x80\x02" + crafted.opcodes(canary)[operation] + b".")
        assert canary.exists(), operation


def test_the_content_of_an_object_is_recorded() -> None:
    called = b"\x80\x02cmy.module\nThing\nK\x01\x85R"
    filled = run(called + b"}" + crafted.text("a") + b"K\x02sb" + b"K\x03a" + b"K\x04K\x05s.")
    assert isinstance(filled, Placeholder)
    assert (filled.name, filled.arguments, filled.state) == ("my.module.Thing", (1,), {"a": 2})
    assert (filled.items, filled.entries) == ([3], {4: 5})


def test_keys_without_a_quick_hash_are_kept_apart() -> None:
    # The hash of the key would visit 2^40 leaves.
    nested = pickle.dumps(crafted.endless_tuple(), 2)[2:-1]
    found = run(b"\x80\x02}" + nested + b"K\x00s.")
    assert isinstance(found, dict)
    assert isinstance(next(iter(found)), OpaqueKey)


def test_the_attributes_of_a_dictionary_hide_none_of_its_methods() -> None:
    state = b"}(" + crafted.text("items") + b"K\x01" + crafted.text("_metadata") + b"K\x02u"
    found = run(b"\x80\x02ccollections\nOrderedDict\n)R" + state + b"b.")
    assert vars(found) == {"_metadata": 2}
    assert isinstance(found, OrderedDict)
    assert [*found.items()] == []


@pytest.mark.parametrize(
    "pickled",
    [
        *(b"", b".", b"K", b"0.", b"N", b"\x85.", b"a.", b"s.", b"u.", b"e.", b"\x90.", b"h\x07."),
        *(b"]K\x01K\x01s.", b"}K\x01a.", b"NR.", b"(o.", b"N\x93.", b"\xff.", b"(K\x01d."),
        b"\x8e" + b"\xff" * 8 + b".",
        b"I" + b"9" * 100_000 + b"\n.",
    ],
)
def test_bytes_that_no_pickler_writes_are_errors(pickled: bytes) -> None:
    with pytest.raises((ValueError, IndexError, KeyError, AttributeError)):
        run(b"\x80\x02" + pickled)
