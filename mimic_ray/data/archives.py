"""Archives and file formats that are not read, and the command that makes images of them."""

from __future__ import annotations

import shlex
from pathlib import Path

from mimic_ray.base.text import plain
from mimic_ray.data.names import SHARD_SUFFIXES, UNREAD_IMAGES, is_table, suffix_of

NOT_AN_IMAGE = "not an image"
_UNREAD_IMAGE = "an image format that is not read: convert it to PNG or JPEG"
ARCHIVE = "an archive, which is not read here: unpack it"
_TABLE = "a table, which is not read here"

# Suffixes, first bytes, what it is called, and what to type with {0} for the file.
FORMATS = [
    ((".bz2", ".tbz2", ".tbz"), b"BZh", "a bzip2 archive", "tar -xf {0} -C FOLDER"),
    ((".xz", ".txz"), b"\xfd7zXZ\0", "an xz archive", "tar -xf {0} -C FOLDER"),
    ((".zst", ".tzst"), b"\x28\xb5\x2f\xfd", "a zstd archive", "tar --zstd -xf {0} -C FOLDER"),
    ((".lzma", ".lz4", ".z"), None, "a compressed archive", "tar -xaf {0} -C FOLDER"),
    ((".7z",), b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x {0} -oFOLDER"),
    ((".rar",), b"Rar!\x1a\x07", "a RAR archive", "unrar x {0} FOLDER/"),
    ((".zip",), b"PK\x03\x04", "a zip archive", "unzip {0} -d FOLDER"),
    ((".gz",), b"\x1f\x8b", "a gzip file", "gunzip -k {0}"),
]
# Containers that only their own libraries read.
CONTAINERS = {
    ".tfrecord": "TFRecord",
    ".tfrecords": "TFRecord",
    ".mdb": "LMDB",
    ".lmdb": "LMDB",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".rec": "RecordIO",
    ".beton": "FFCV",
    ".mds": "MosaicML",
    ".npy": "NumPy",
    ".mat": "MATLAB",
}


def is_archive(name: str) -> bool:
    """Whether a file is an archive by its name, a shard included."""
    suffixes = (*SHARD_SUFFIXES, *(suffix for each in FORMATS for suffix in each[0]))
    return name.lower().endswith(suffixes)


def why_not_read(name: str) -> str:
    """The reason for which a file among images is left out."""
    if suffix_of(name) in UNREAD_IMAGES:
        return _UNREAD_IMAGE
    return ARCHIVE if is_archive(name) else _TABLE if is_table(name) else NOT_AN_IMAGE


def way_out(path: str | Path, start: bytes = b"") -> str:
    """ "is a bzip2 archive. Unpack it: ...", "" for a file of any other kind.

    The first bytes of the file, if given, count more than its name.
    """
    name = str(path).lower()
    found = [each for each in FORMATS if each[1] and start.startswith(each[1])]
    if not start:
        found = [each for each in FORMATS if name.endswith(each[0])]
    if found:
        _, _, what, command = found[0]
        made = "that FOLDER" if "FOLDER" in command else "what it writes"
        return f"is {what}. Unpack it: {command.format(shlex.quote(plain(path)))}, and give {made}."
    for suffix, what in CONTAINERS.items():
        if name.endswith(suffix):
            return (
                f"is a {what} file, which is not read. Convert it: write its images as files into "
                "a folder, with a sub-folder for each class if you need labels."
            )
    return ""
