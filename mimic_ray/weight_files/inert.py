"""What the pickle machine builds: descriptions of objects, without the objects.

Nothing here imports or calls what it describes, and nothing here holds the values of a tensor.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

ITEM_BYTES = {
    **dict.fromkeys(("bool", "uint8", "int8", "qint8", "quint8", "quint4x2", "quint2x4"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    **dict.fromkeys(("float8_e8m0fnu", "bits8"), 1),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32", "qint32", "complex32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
    "complex128": 16,
}


# No storage of a file has such a key.
IN_PICKLE = "in the pickle: "


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names: `posix.system`. It is never looked up."""

    path: str


@dataclass(frozen=True)
class Dtype:
    name: str  # as in "float32"


@dataclass(frozen=True)
class StorageKind:
    """A storage class of torch, such as FloatStorage."""

    dtype: str


class Size(tuple[int, ...]):
    """A torch.Size."""

    __slots__ = ()


@dataclass(frozen=True)
class Device:
    arguments: tuple[str | int, ...]


@dataclass(frozen=True)
class StorageRef:
    """`length` bytes of the file's storage `key`, from the byte `start` of that storage."""

    key: str
    dtype: str
    start: int
    length: int
    total: int  # bytes of the whole storage
    # The bytes, where they are in the pickle itself; the key then starts with IN_PICKLE.
    content: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class TensorRef:
    """A tensor: a view of a storage, with offset and strides in elements; `is_array` if the file
    has a numpy array.

    `kind` says why it is not plain and dense: "sparse", "quantized", "meta" ...; `storage` may
    then be None.
    """

    storage: StorageRef | None
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool = False
    is_parameter: bool = False
    kind: str = ""
    is_array: bool = False

    @property
    def region(self) -> Hashable:
        """Equal for two tensors that are the same memory."""
        if self.storage is None:
            return id(self)
        start = self.storage.start + self.offset * ITEM_BYTES[self.dtype]
        return self.storage.key, start, self.dtype, self.shape, self.stride


@dataclass(eq=False)
class Placeholder:
    """An object that was not built: the name of what would have been called, and its content."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class OpaqueKey:
    """Stands for a dictionary key or set element that is not a plain value.

    Its hash is its identity: the hash of a nested tuple could take forever.
    """

    value: Any
