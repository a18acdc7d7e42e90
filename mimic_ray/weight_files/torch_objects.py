"""What the names in a torch pickle stand for: tensors, storages and plain containers.

Every other name stays a placeholder. The functions here take the arguments that torch's own
functions of the same name take (torch/_utils.py), and build descriptions instead of tensors.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mimic_ray.weight_files.foreign_names import ForeignNames
from mimic_ray.weight_files.inert import (
    IN_PICKLE,
    ITEM_BYTES,
    Device,
    Dtype,
    Name,
    Placeholder,
    Size,
    StorageKind,
    StorageRef,
    TensorRef,
)
from mimic_ray.weight_files.legacy_file import read_legacy
from mimic_ray.weight_files.pickle_machine import PickleError
from mimic_ray.weight_files.plain_objects import PLAIN_CALLS

DIMENSION_LIMIT = 32  # of numpy

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QUInt8Storage": "quint8",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
}
# Other names of the same things: of Python 2, and of torch itself.
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_DTYPES = {"half": "float16", "float": "float32", "double": "float64", "long": "int64"}

# The types of tensors before torch 0.4.
_TENSOR = re.compile(r"torch\.(cuda\.)?[A-Z][a-z0-9]+Tensor")
_DEVICE = re.compile(r"(cpu|cuda|mps|xpu|meta)(:[0-9]{1,2})?")


class TorchObjects:
    """`storages`: by key, each with the largest extent that the pickle names."""

    def __init__(self) -> None:
        self.foreign = ForeignNames()
        self.storages: dict[str, StorageRef] = {}
        self._in_pickle = 0

    def find(self, module: str, name: str) -> Any:
        if module == "torch" and _DTYPES.get(name, name) in ITEM_BYTES:
            return Dtype(_DTYPES.get(name, name))
        if module in ("torch", "torch.cuda", "torch.storage") and name in _STORAGES:
            return StorageKind(_STORAGES[name])
        path = f"{_OLD_MODULES.get(module, module)}.{name}"
        if path.startswith("__torch__."):
            self.foreign.name("TorchScript")
        elif path not in _SILENT and not _TENSOR.fullmatch(path):
            self.foreign.name(path)
        return Name(path)

    def call(self, function: Any, arguments: Any) -> Any:
        path = function.path if isinstance(function, Name) else _described(function)
        if not isinstance(arguments, tuple):
            arguments = (arguments,)
        if path in _INNER:
            return self._inner(path, arguments)
        if path == _STORAGE_IN_BYTES:
            return self._storage(*arguments)
        if path in _CALLS:
            made = _CALLS[path](*arguments)
            if made is not NotImplemented:
                return made
        elif not path.startswith("__torch__."):
            self.foreign.called(path, arguments)
        return Placeholder(path, arguments)

    def _inner(self, path: str, arguments: tuple[Any, ...]) -> Any:
        """An object that is wrapped in a function of torch or of copyreg."""
        if path == "torch._tensor._rebuild_from_type_v2":
            function, kind, inner, *_ = arguments
            made = self.call(function, inner)
            if isinstance(made, TensorRef) and kind == Name("torch.nn.parameter.Parameter"):
                return replace(made, is_parameter=True)
            return made
        made = self.call(arguments[0], ())  # copyreg: class, base class, state of the base
        if isinstance(made, Placeholder) and len(arguments) > 2:
            made.state = arguments[2]
        return made

    def _storage(self, content: Any) -> StorageRef:
        """The storage in the bytes of a legacy file, as pickle.dump writes a tensor."""
        if not isinstance(content, bytes):
            raise PickleError("a storage that is not bytes")
        inner = TorchObjects()
        inner.foreign = self.foreign
        made, spans = read_legacy(io.BytesIO(content), inner)
        start, length = spans[made.key] if isinstance(made, StorageRef) else (0, -1)
        if not isinstance(made, StorageRef) or length != made.total:
            raise PickleError("bytes that are not one storage")
        self._in_pickle += 1
        key = f"{IN_PICKLE}storage {self._in_pickle}"
        return replace(made, key=key, content=content[start : start + length])

    def persistent(self, identity: Any) -> Any:
        """A storage: ("storage", kind, key, device, number of elements, view of legacy files)."""
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
            return identity[1]  # a class with its source, in legacy files
        if not isinstance(identity, tuple) or len(identity) not in (5, 6):
            self.foreign.name("an unknown persistent identity")
            return Placeholder("a persistent identity")
        _word, kind, key, _device, numbers, *views = identity
        strange = str(key).startswith(IN_PICKLE) or not _is_count(numbers)
        if not isinstance(kind, StorageKind) or strange:
            raise PickleError("a storage of unknown kind")
        size = ITEM_BYTES[kind.dtype]
        storage = StorageRef(str(key), kind.dtype, 0, numbers * size, numbers * size)
        if self.storages.setdefault(storage.key, storage).total != storage.total:
            raise PickleError("two sizes of one storage")
        if views and views[0] is not None:
            _view, offset, length = views[0]
            if not _is_count(offset) or not _is_count(length) or offset + length > numbers:
                raise PickleError("a view that exceeds its storage")
            storage = replace(storage, start=offset * size, length=length * size)
        return storage


def tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    _hooks: Any = None,
    *dtype_or_metadata: Any,
) -> TensorRef:
    """torch._utils._rebuild_tensor, _v2 and _v3, of which the last one names a dtype."""
    dtypes = [value.name for value in dtype_or_metadata if isinstance(value, Dtype)]
    if not isinstance(storage, StorageRef):
        raise PickleError("a tensor without a storage")
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride):
        raise PickleError("a tensor without a shape")
    if not all(map(_is_count, (offset, *size, *stride))):
        raise PickleError("a negative size")
    dtype = dtypes[0] if dtypes else storage.dtype
    item, numbers = ITEM_BYTES[dtype], _product(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if (numbers and (last + 1) * item > storage.length) or storage.start % item:
        raise PickleError("a tensor that exceeds its storage")
    if dtype.startswith("q"):
        return _without_data("quantized", Dtype(dtype), size)
    kind = ""
    if numbers * item > storage.length or len(size) > DIMENSION_LIMIT:
        kind = "repeated"
    shape = tuple(size)
    return TensorRef(storage, dtype, offset, shape, tuple(stride), requires_grad is True, kind=kind)


def _parameter(data: Any, requires_grad: Any = True, *_: Any) -> Any:
    if not isinstance(data, TensorRef):
        return NotImplemented
    return replace(data, requires_grad=requires_grad is True, is_parameter=True)


def _without_data(kind: str, *arguments: Any) -> TensorRef:
    """A tensor that is not plain, with the dtype and the shape that its arguments name."""
    inside = [*arguments]
    for value in arguments:
        if isinstance(value, tuple) and not isinstance(value, Size):
            inside += value  # the parts of a sparse tensor
    dtypes = [value.name for value in inside if isinstance(value, Dtype)]
    dtypes += [part.dtype for part in inside if isinstance(part, TensorRef | StorageRef)][-1:]
    sizes = [value for value in inside if type(value) in (tuple, Size) and value]
    sizes = [value for value in sizes if all(map(_is_count, value))]
    shape = tuple(sizes[0]) if sizes else ()
    return TensorRef(None, dtypes[0] if dtypes else "float32", 0, shape, (), kind=kind)


def _of_kind(kind: str) -> Callable[..., TensorRef]:
    return lambda *arguments: _without_data(kind, *arguments)


def _size(numbers: Any = ()) -> Any:
    return Size(numbers) if all(map(_is_count, numbers)) else NotImplemented


def _device(*arguments: Any) -> Any:
    name, *number = arguments or ("",)
    known = isinstance(name, str) and _DEVICE.fullmatch(name)
    return Device(arguments) if known and all(map(_is_count, number[:1])) else NotImplemented


def _first(value: Any = None, *_: Any) -> Any:
    return value


def _described(function: Any) -> str:
    return f"{function.name}(...)" if isinstance(function, Placeholder) else type(function).__name__


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _product(size: tuple[int, ...]) -> int:
    numbers = 1
    for length in size:
        numbers *= length
    return numbers


# The function that reads a storage which pickle.dump wrote.
_STORAGE_IN_BYTES = "torch.storage._load_from_bytes"

_INNER = {
    "torch._tensor._rebuild_from_type_v2",
    "copyreg._reconstructor",
}

# Classes that only say what a tensor or an object is.
_SILENT = {
    *("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"),
    *("torch.serialization._get_layout", "builtins.object"),
    *(f"torch.{scheme}_affine" for scheme in ("per_tensor", "per_channel")),
    *(f"torch.{scheme}_symmetric" for scheme in ("per_tensor", "per_channel")),
    "torch.per_channel_affine_float_qparams",
}

_CALLS: dict[str, Callable[..., Any]] = {
    **PLAIN_CALLS,
    **dict.fromkeys((f"torch._utils._rebuild_tensor{v}" for v in ("", "_v2", "_v3")), tensor),
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_qtensor": _of_kind("quantized"),
    "torch._utils._rebuild_sparse_tensor": _of_kind("sparse"),
    "torch._utils._rebuild_sparse_csr_tensor": _of_kind("sparse"),
    "torch._utils._rebuild_nested_tensor": _of_kind("nested"),
    "torch._utils._rebuild_meta_tensor_no_storage": _of_kind("meta"),
    "torch._utils._rebuild_wrapper_subclass": _of_kind("wrapped"),
    "torch._utils._rebuild_device_tensor_from_numpy": _of_kind("foreign"),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._utils._rebuild_xla_tensor": _of_kind("foreign"),
    "torch.serialization._get_layout": lambda *_: None,
    "torch.Size": _size,
    "torch.device": _device,
    # TorchScript names the types of its lists and dictionaries.
    **dict.fromkeys(
        (
            f"torch.jit._pickle.{name}"
            for name in (
                *("restore_type_tag", "build_intlist", "build_tensorlist"),
                *("build_doublelist", "build_boollist"),
            )
        ),
        _first,
    ),
}

_SILENT |= {*_CALLS, *_INNER, _STORAGE_IN_BYTES}
