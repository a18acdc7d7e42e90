"""Files that people mistake for weights of torch: what each is, and what to do instead."""

from __future__ import annotations

from fnmatch import fnmatch

_AGAIN = "download it again and check what the address returns"
_CONVERT = "load it with the library that wrote it, and save the network's state_dict()"
_TENSORFLOW = (
    "load it with TensorFlow, copy the weights into the same network of torch, and save its "
    "state_dict()"
)
_ORBAX = "restore it with Orbax, and save its arrays by name with numpy.savez"
_UNPACK = "unpack it and give the weight file in it (images are data, not an encoder)"

# docs/reference/checkpoints.md lists both tables. First bytes:
STARTS = (
    (b"version https://git-lfs", "a git-lfs pointer instead of the weights", "run `git lfs pull`"),
    (b"<", "a web page", _AGAIN),
    (b'{"error', "an error message from a server", _AGAIN),
    (b"{", "JSON text", "give the file with the weights, or their folder"),
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstandard file", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a rar archive", _UNPACK),
    (b"\x93NUMPY", "one numpy array", "save all weights by name with numpy.savez or torch.save"),
    (b"\x89HDF", "an HDF5 file of Keras", _TENSORFLOW),
    (b"MATLAB", "a MATLAB file", _CONVERT),
    (b"(dp", "a pickle of protocol 0", "save its arrays by name with numpy.savez"),
    (b"GGUF", "a GGUF file", _CONVERT),
)

# Names, for formats without a mark at their start:
_ONNX = 'convert it with `torch.save(onnx2torch.convert("FILE.onnx").state_dict(), "FILE.pth")`'
NAMES = (
    ("*.onnx", "an ONNX network", _ONNX),
    ("saved_model.pb", "a SavedModel of TensorFlow", _TENSORFLOW),
    ("*.ckpt*.index", "a checkpoint of TensorFlow", _TENSORFLOW),
    ("*.ckpt*.meta", "a checkpoint of TensorFlow", _TENSORFLOW),
    ("*.data-?????-of-?????", "a checkpoint of TensorFlow", _TENSORFLOW),
    ("*.h5", "weights of Keras", _TENSORFLOW),
    ("*.keras", "weights of Keras", _TENSORFLOW),
    ("*.pb", "a graph of TensorFlow", _TENSORFLOW),
    ("*.tflite", "a network of TensorFlow Lite", _TENSORFLOW),
    ("_CHECKPOINT_METADATA", "an Orbax checkpoint of JAX", _ORBAX),
    ("manifest.ocdbt", "an Orbax checkpoint of JAX", _ORBAX),
    ("*.joblib", "a joblib file", "take the weights out of it and save them with torch.save"),
    ("*.pdparams", "weights of PaddlePaddle", _CONVERT),
    ("*.params", "weights of MXNet", _CONVERT),
    ("*.mlmodel", "a network of Core ML", _CONVERT),
    ("*.mlpackage", "a network of Core ML", _CONVERT),
    ("*.engine", "a compiled network of TensorRT", "give the weights that it was compiled from"),
    ("*.zip", "a zip archive", _UNPACK),
    ("*.tar.gz", "a gzip file", _UNPACK),
    ("*.tgz", "a gzip file", _UNPACK),
)


def by_start(head: bytes) -> tuple[str, str] | None:
    """What a file with these first bytes is, and what to do; None if they say nothing."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    found = ((what, advice) for start, what, advice in STARTS if text.startswith(start))
    return next(found, None)


def by_name(name: str) -> tuple[str, str] | None:
    """What a file of this name is, and what to do; None if the name says nothing."""
    found = ((what, advice) for pattern, what, advice in NAMES if fnmatch(name, pattern))
    return next(found, None)
