"""Checks the zip container of a torch file and finds its records.

Checksums show flipped bits. Compressed records may unpack 262 kB to 256 MiB, and of two records
with one name, programs read either; torch.save writes neither, so both are refused.
"""

from __future__ import annotations

import os
import struct
import zipfile
from dataclasses import dataclass
from io import BufferedReader

from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
    NotACheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain

MEMBER_LIMIT = 100_000


@dataclass(frozen=True)
class Archive:
    """A checked zip: the position and length of each record in the file `descriptor`.

    Names of records are without the folder that contains them all.
    """

    descriptor: int
    spans: dict[str, tuple[int, int]]

    def small(self, record: str, default: bytes | None = None) -> bytes:
        """The content of a record that fits into memory."""
        if record not in self.spans and default is not None:
            return default
        start, length = self.spans[record]
        return os.pread(self.descriptor, length, start)


def check_archive(file: BufferedReader, name: str, size: int) -> Archive:
    """The records, if torch.save or torch.jit.save could have written them and every checksum is
    right. Compressed records are code, which is never read.

    Raises NotACheckpointError, DamagedCheckpointError or UnsafeCheckpointError.
    """
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
        _check_kind([member.filename for member in members], name)
        _check_members(members, name, size)
        spans = {}
        for member in members:
            if member.compress_type == zipfile.ZIP_STORED:
                _check_sum(archive, member, name)
                record = member.filename.partition("/")[2]
                spans[record] = _start(file, member), member.file_size
    except CheckpointError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # zipfile raises many types for unexpected bytes
        raise DamagedCheckpointError(
            f"{name} is a damaged or truncated zip ({plain(error)}): download or copy it again."
        ) from error
    return Archive(file.fileno(), spans)


def _check_sum(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    try:
        with archive.open(member) as record:
            while record.read(1 << 20):
                pass
    except zipfile.BadZipFile as error:
        raise DamagedCheckpointError(
            f'{name} is damaged: the checksum of its record "{plain(member.filename)}" is wrong. '
            "Download or copy it again."
        ) from error


def _start(file: BufferedReader, member: zipfile.ZipInfo) -> int:
    """The first byte of a record, behind its header: 30 bytes, its name and extra fields."""
    header = os.pread(file.fileno(), 30, member.header_offset)
    name_length, extra_length = struct.unpack("<26xHH", header)
    return int(member.header_offset + 30 + name_length + extra_length)


def _check_kind(names: list[str], name: str) -> None:
    """Refuses valid zips that are something else."""
    if not any(member.endswith("/data.pkl") for member in names):
        raise NotACheckpointError(
            f"{name} is a zip without torch's data.pkl: unpack it and give the weight file in "
            "it. Images are data, not an encoder."
        )


def _check_members(members: list[zipfile.ZipInfo], name: str, size: int) -> None:
    """Refuses anything that torch.save never writes."""
    if len(members) > MEMBER_LIMIT:
        raise _unsafe(name, f"it has {len(members):,} records, over {MEMBER_LIMIT:,}")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise _unsafe(name, f'it contains two records called "{plain(twice)}"')
    parts = [member.split("/") for member in names]
    if len({split[0] for split in parts}) > 1 or any(".." in split for split in parts):
        raise _unsafe(name, "its records are not in one folder")
    for member in members:
        is_code = member.filename.split("/")[1:2] == ["code"]
        stored = member.compress_type == zipfile.ZIP_STORED
        if not (is_code or (stored and member.file_size == member.compress_size)):
            raise _unsafe(name, f'its record "{plain(member.filename)}" is compressed')
    if sum(member.compress_size for member in members) > size:
        raise _unsafe(name, "its records claim more bytes than the file has")
    # zipfile accepts bytes before the archive and shifts every offset; torch may read other bytes.
    if min(member.header_offset for member in members) != 0:
        raise _unsafe(name, "there are bytes before its first record")


def _unsafe(name: str, reason: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        f"{name} was not written by torch.save, or was changed: {reason}. Ask its author for the "
        "weights as safetensors."
    )
