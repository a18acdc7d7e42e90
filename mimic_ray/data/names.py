"""Rules for file names: the suffixes of images and of sets of images, and the keys of images."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

# Suffix -> the Pillow format that reads it. Of several images of a sample, the first is taken.
IMAGE_FORMATS = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "jpe": "JPEG",
    "jfif": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "avif": "AVIF",
    "bmp": "BMP",
    "dib": "BMP",
    "tif": "TIFF",
    "tiff": "TIFF",
    "ppm": "PPM",
    "pgm": "PPM",
    "pbm": "PPM",
    "pnm": "PPM",
    "gif": "GIF",
}
IMAGE_SUFFIXES = frozenset(IMAGE_FORMATS)
SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
TABLE_SUFFIXES = (".parquet", ".arrow")

# Images in these formats are not read. Some raw formats start like a TIFF, so they are not tried.
UNREAD_IMAGES = frozenset(
    [
        "heic",
        "heif",
        "hif",
        "jxl",
        "jp2",
        "j2k",
        "svg",
        "eps",
        "psd",
        "xcf",
        "ico",
        "exr",
        "hdr",
        "dds",
        "tga",
        "icns",
        "raw",
        "dng",
        "cr2",
        "cr3",
        "nef",
        "arw",
        "orf",
        "rw2",
        "raf",
    ]
)
# What lies beside images and holds none. Files with any other suffix, or none, are looked into.
OTHER_SUFFIXES = frozenset(
    [
        "txt",
        "json",
        "jsonl",
        "cls",
        "csv",
        "tsv",
        "xml",
        "md",
        "html",
        "htm",
        "yaml",
        "yml",
        "toml",
        "log",
        "cfg",
        "ini",
        "index",
        "lst",
        "list",
        "ids",
        "id",
        "npy",
        "npz",
        "mat",
        "pkl",
        "pickle",
        "pt",
        "pth",
        "ckpt",
        "safetensors",
        "bin",
        "h5",
        "hdf5",
        "py",
        "ipynb",
        "sh",
        "pdf",
        "doc",
        "docx",
        "mp4",
        "avi",
        "mov",
        "mkv",
        "webm",
        "wav",
        "mp3",
        "flac",
        "db",
        "sqlite",
        "mdb",
        "lock",
        "tmp",
        "part",
    ]
)

# A larger file is unlikely to be a photograph, and is not read into memory.
IMAGE_LIMIT_BYTES = 64 << 20
OVER_LIMIT = f"over the limit of {IMAGE_LIMIT_BYTES >> 20} MiB per file"

# The first bytes of each format, for files whose name says nothing.
_STARTS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tif",
    b"MM\0*": "tif",
}
START_BYTES = 16
_PPM = re.compile(rb"P[1-6]\s")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # lengths of the header that follows the first 14


def suffix_of(name: str) -> str:
    """The last suffix in lower case without its dot: "a/B.JPG" -> "jpg"."""
    return PurePosixPath(name).suffix[1:].lower()


def image_format(start: bytes) -> str:
    """The suffix of the image format that a file begins with, "" if it is not one that is read."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    if _PPM.match(start):
        return "pgm" if start[1:2] in b"25" else "pbm" if start[1:2] in b"14" else "ppm"
    if start[:2] == b"BM" and int.from_bytes(start[14:16], "little") in _BMP_HEADERS:
        return "bmp"
    return next((suffix for first, suffix in _STARTS.items() if start.startswith(first)), "")


def is_unnamed(name: str) -> bool:
    """Whether only the content of a file can tell if it is an image."""
    suffix = suffix_of(name)
    known = IMAGE_SUFFIXES | UNREAD_IMAGES | OTHER_SUFFIXES
    return suffix not in known and not is_shard(name) and not is_table(name)


def is_hidden(name: str) -> bool:
    """Whether a name is hidden, as are the `._x.jpg` files that macOS adds to archives."""
    return PurePosixPath(name).name.startswith(".")


def is_shard(name: str) -> bool:
    return name.lower().endswith(SHARD_SUFFIXES) and not is_hidden(name)


def is_table(name: str) -> bool:
    return name.lower().endswith(TABLE_SUFFIXES) and not is_hidden(name)


def as_key(name: str) -> str:
    """`name` as valid UTF-8 with other bytes escaped. A key is never used as a path."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
