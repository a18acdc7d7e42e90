"""Finds the files of a plain tar by reading its 512-byte headers.

Common readers stop silently at a damaged or truncated header and so lose files without an error.
This reader checks the checksum of every header, every size and the end marker. It extracts nothing:
names are only compared and displayed.

Format: POSIX.1-1988 "ustar". From the first header with an extension (PAX and GNU long names,
base-256 numbers), Python's tarfile reads the rest, with the same checks of sizes and end marker.
"""

from __future__ import annotations

import shlex
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from mimic_ray.base.errors import DataError
from mimic_ray.base.text import plain
from mimic_ray.data.archives import way_out

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_REGULAR = b"0\x007"
_HARD_LINK, _FOLDER = b"1", b"5"
_WITHOUT_CONTENT = b"123456"  # links, devices, folders, pipes: their size field is ignored
_EXTENDED = b"xgLKSV"
_CHECKSUM = slice(148, 156)
# tar pads to records of 10 KiB. More bytes after the end marker are not padding.
_PADDING_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file with `size` bytes of content at `offset`, or why it cannot be read by offset.

    A hard link has the content of the earlier member that it names.
    """

    name: str
    offset: int
    size: int
    problem: str = ""


def members_of(file: BinaryIO, total: int, path: str) -> Iterator[Member]:
    """Yields the files of an open tar of `total` bytes; `path` is its name in messages.

    Between two members, the caller may read the content of the last one from `file`.
    """
    _refuse_foreign(path, file)
    earlier: dict[str, Member] = {}
    offset = 0
    while True:
        file.seek(offset)
        header = file.read(_BLOCK)
        if header == _ZEROS:
            _check_end(path, file, offset)
            return
        if not header:
            raise _damaged(path, "ends without an end marker: it is truncated", offset)
        if len(header) < _BLOCK:
            raise _damaged(path, "is truncated inside a header", offset)
        _verify_checksum(path, header, offset)
        kind = header[156:157]
        if kind in _EXTENDED or header[124] & 0x80:
            yield from _by_tarfile(path, file, total, offset, earlier)
            return
        size = 0 if kind in _WITHOUT_CONTENT else _octal(path, header[124:136], offset)
        content = offset + _BLOCK
        name = _name(header)
        _check_size(path, name, content, size, total)
        # Old programs only mark a folder with a trailing slash.
        if not (kind == _FOLDER or name.endswith("/")):
            if kind in _REGULAR:
                member = Member(name, content, size)
            else:
                member = _linked(name, kind, _text(header[157:257]), earlier)
            earlier[name] = member
            yield member
        offset = content + _padded(size)


def _linked(name: str, kind: bytes, target: str, earlier: dict[str, Member]) -> Member:
    """A member without content of its own."""
    if kind == _HARD_LINK and target in earlier:
        return replace(earlier[target], name=name)
    what = {_HARD_LINK: "a hard link to a file that is not in the tar", b"2": "a symbolic link"}
    return Member(name, 0, 0, what.get(kind, "a device or a pipe"))


def _sparse(info: tarfile.TarInfo) -> Member:
    """A file stored without its runs of zeros. It can be read if those are all at its end."""
    stored: Any = info.sparse or ()  # (start in the file, bytes)
    parts = [(start, size) for start, size in stored if size]
    if len(parts) == 1 and parts[0][0] == 0:
        return Member(info.name, info.offset_data, parts[0][1])
    return Member(info.name, 0, 0, "a sparse file with holes: unpack the tar")


def _by_tarfile(
    path: str, file: BinaryIO, total: int, start: int, earlier: dict[str, Member]
) -> Iterator[Member]:
    """The members from the header at `start` to the end."""
    file.seek(start)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                if info.isdir():
                    continue
                if info.issparse():
                    member = _sparse(info)
                    _check_size(path, info.name, member.offset, member.size, total)
                elif info.isreg():
                    _check_size(path, info.name, info.offset_data, info.size, total)
                    member = Member(info.name, info.offset_data, info.size)
                else:
                    member = _linked(info.name, info.type, info.linkname, earlier)
                earlier[info.name] = member
                yield member
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {plain(error)}.") from error
    # tarfile treats a damaged header as the end of the tar.
    _check_end(path, file, end)


def _check_end(path: str, file: BinaryIO, offset: int) -> None:
    file.seek(offset)
    rest = file.read(_PADDING_LIMIT)
    if len(rest) < 2 * _BLOCK:
        raise _damaged(path, "ends without an end marker: it is truncated", offset)
    if rest.count(0) != len(rest) or file.read(1):
        raise DataError(
            f"{path} continues after its end marker (byte {offset:,}): it is damaged, or several "
            "tars in one. Copy it again, or unpack all of them: tar --ignore-zeros -xf "
            f"{shlex.quote(path)} -C FOLDER."
        )


def _verify_checksum(path: str, header: bytes, offset: int) -> None:
    stated = _octal(path, header[_CHECKSUM], offset)
    # The checksum field itself counts as spaces. Some old programs add signed bytes.
    unsigned = sum(header) - sum(header[_CHECKSUM]) + 8 * 32
    if stated != unsigned:
        high = sum(1 for byte in header if byte > 127)
        if stated != unsigned - 256 * high:
            raise _damaged(path, "has a header with a wrong checksum", offset)


def _octal(path: str, field: bytes, offset: int) -> int:
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise _damaged(path, "has an invalid number in a header", offset) from None


def _name(header: bytes) -> str:
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345]:
        name = f"{_text(header[345:500])}/{name}"
    return name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _check_size(path: str, name: str, content: int, size: int, total: int) -> None:
    if size < 0 or content + size > total:
        raise DataError(
            f'{path} is truncated: "{plain(name)}" should have {size:,} bytes, but '
            f"{max(0, total - content):,} are present."
        )


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _damaged(path: str, what: str, offset: int) -> DataError:
    return DataError(f"{path} {what} (byte {offset:,}). Copy or build it again.")


def _refuse_foreign(path: str, file: BinaryIO) -> None:
    start = file.read(_BLOCK)
    if not start:
        raise DataError(f"{path} is empty, not a tar.")
    if start.startswith(b"version https://git-lfs"):
        raise DataError(f"{path} is a git-lfs pointer, not a tar: run git lfs pull.")
    if start.lstrip()[:1] == b"<" and b"\0" not in start:
        raise DataError(f"{path} is a web page, not a tar: download it again.")
    if advice := way_out(path, start) if not _has_checksum(start) else "":
        raise DataError(f"{path} is not a tar: it {advice}")
    if start != _ZEROS and len(start) == _BLOCK and not _has_checksum(start):
        raise DataError(f"{path} is not a tar: it starts with {plain(start[:16])}.")


def _has_checksum(header: bytes) -> bool:
    return bool(header[_CHECKSUM].strip(b" \0")) and not header[_CHECKSUM].strip(b" \x0001234567")
