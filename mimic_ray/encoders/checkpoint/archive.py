"""Checks the zip container of a torch file before torch opens it.

torch.load checks neither checksums nor compression, and uses the last of two members with the same
name. So it does not notice flipped bits, unpacks 262 kB to 256 MiB, and may load other data than a
scanner has checked.
"""

from __future__ import annotations

import zipfile
from io import BufferedReader

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    NotACheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain

MEMBER_LIMIT = 100_000
PICKLE_LIMIT_BYTES = 64 << 20


def check_archive(file: BufferedReader, name: str, size: int) -> None:
    """Returns if torch.save could have written the zip and every checksum is right.

    Raises NotACheckpointError, DamagedCheckpointError or UnsafeCheckpointError. Resets `file` to
    position 0.
    """
    try:
        archive = zipfile.ZipFile(file)
        members = archive.infolist()
        _check_kind([member.filename for member in members], name)
        _check_members(members, name, size)
        broken = archive.testzip()
    except (NotACheckpointError, UnsafeCheckpointError):
        raise
    except MemoryError:
        raise
    except Exception as error:  # zipfile raises many types for unexpected bytes
        raise DamagedCheckpointError(
            f"{name} is a damaged or truncated zip ({plain(error)}): download or copy it again."
        ) from error
    if broken is not None:
        raise DamagedCheckpointError(
            f'{name} is damaged: the checksum of its record "{plain(broken)}" is wrong. '
            "Download or copy it again."
        )
    file.seek(0)


def _check_kind(names: list[str], name: str) -> None:
    """Refuses valid zips that are something else."""
    if any(member.endswith(".npy") for member in names):
        raise NotACheckpointError(
            f"{name} is a numpy archive (npz): save the network's state_dict() with torch.save or "
            "safetensors."
        )
    if any(member.endswith("/constants.pkl") or "/code/" in member for member in names):
        raise UnsafeCheckpointError(
            f"{name} is a TorchScript program, which is code: ask its author for the weights "
            "(state_dict())."
        )
    if not any(member.endswith("/data.pkl") for member in names):
        raise NotACheckpointError(
            f"{name} is a zip without torch's data.pkl: if the weights are inside, unpack it first."
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
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise _unsafe(name, f'its record "{plain(member.filename)}" is compressed')
        if member.filename.endswith("/data.pkl") and member.file_size > PICKLE_LIMIT_BYTES:
            raise _unsafe(name, f"its data.pkl has {member.file_size:,} bytes without any weight")
    if sum(member.file_size for member in members) > size:
        raise _unsafe(name, "its records claim more bytes than the file has")
    # zipfile accepts bytes before the archive and shifts every offset; torch may read other bytes.
    if min(member.header_offset for member in members) != 0:
        raise _unsafe(name, "there are bytes before its first record")


def _unsafe(name: str, reason: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        f"{name} was not written by torch.save, or was changed: {reason}. Ask its author for the "
        "weights as safetensors."
    )
