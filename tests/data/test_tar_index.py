from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.tar_index import Member, members_of

FORMS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
SIZES = (0, 1, 511, 512, 513, 3000)


def read_members(path) -> list[Member]:
    """Those that can be read by offset."""
    with path.open("rb") as file:
        members = members_of(file, path.stat().st_size, str(path))
        return [member for member in members if not member.problem]


def contents() -> dict[str, bytes]:
    return {f"{number:03}.png": bytes([number]) * size for number, size in enumerate(SIZES)}


def by_tarfile(path) -> list[Member]:
    with tarfile.open(path) as tar:
        return [Member(m.name, m.offset_data, m.size) for m in tar if m.isreg()]


@pytest.fixture
def plain_tar(tmp_path, write_tar):
    return write_tar(tmp_path / "a.tar", contents())


@pytest.mark.parametrize("form", FORMS, ids=["ustar", "gnu", "pax"])
def test_it_finds_the_members_that_tarfile_finds(tmp_path, write_tar, form):
    names = contents() | {f"{'d' * 60}/{'n' * 90}.png": b"long", "gr\u00fcn.png": b"umlaut"}
    path = write_tar(tmp_path / "a.tar", names, form)
    members = read_members(path)
    assert members == by_tarfile(path)
    content = path.read_bytes()
    assert [content[m.offset : m.offset + m.size] for m in members] == list(names.values())


@pytest.mark.parametrize("form", FORMS, ids=["ustar", "gnu", "pax"])
def test_names_over_100_bytes_are_read_in_every_format(tmp_path, write_tar, form):
    # ustar splits at a slash, the others write an extra header.
    name = f"{'d' * 120}/{'n' * 90}.png"
    assert read_members(write_tar(tmp_path / "a.tar", {name: b"x"}, form))[0].name == name


def test_links_devices_and_folders_are_skipped(tmp_path):
    path = tmp_path / "a.tar"
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, kind in enumerate(kinds):
            header = tarfile.TarInfo(f"{number}.png")
            header.type, header.linkname = kind, "/etc/passwd"
            # Some programs write the size of the linked file although no content follows.
            header.size = 0 if kind == tarfile.DIRTYPE else 700
            tar.fileobj.write(header.tobuf(tarfile.USTAR_FORMAT))
            tar.offset += 512
        header = tarfile.TarInfo("real.png")
        header.size = 4
        tar.addfile(header, io.BytesIO(b"real"))
    assert [member.name for member in read_members(path)] == ["real.png"]
    with path.open("rb") as file:
        problems = [member.problem for member in members_of(file, path.stat().st_size, "a.tar")]
    assert problems == [
        "a symbolic link",
        "a hard link to a file that is not in the tar",
        "a device or a pipe",
        "a device or a pipe",
        "",
    ]


@pytest.mark.parametrize("form", FORMS, ids=["ustar", "gnu", "pax"])
def test_a_hard_link_has_the_content_of_its_target(tmp_path, form):
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        header = tarfile.TarInfo("1.png")
        header.size = 4
        tar.addfile(header, io.BytesIO(b"real"))
        link = tarfile.TarInfo("l" * (120 if form != tarfile.USTAR_FORMAT else 20))
        link.type, link.linkname = tarfile.LNKTYPE, "1.png"
        tar.addfile(link)
    first, second = read_members(tmp_path / "a.tar")
    assert (second.name, second.offset, second.size) == (link.name, first.offset, 4)


def test_of_a_sparse_file_the_part_before_its_hole_is_read(tmp_path):
    """The GNU format of `tar -S`: a map of places and bytes, then the bytes that are stored."""

    def octal(number: int) -> bytes:
        return b"%011o\0" % number

    def tar_of(parts: list[tuple[int, int]], content: bytes) -> bytes:
        header = bytearray(tarfile.TarInfo("1.png").tobuf(tarfile.GNU_FORMAT))
        header[156:157] = tarfile.GNUTYPE_SPARSE
        header[124:136] = octal(len(content))
        header[386 : 386 + 24 * len(parts)] = b"".join(octal(p) + octal(n) for p, n in parts)
        header[483:495] = octal(1 << 20)  # the size of the file itself
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + content.ljust(512, b"\0") + bytes(10240)

    (tmp_path / "a.tar").write_bytes(tar_of([(0, 4), (1 << 20, 0)], b"real"))
    assert read_members(tmp_path / "a.tar") == [Member("1.png", 512, 4)]
    (tmp_path / "b.tar").write_bytes(tar_of([(0, 2), (4096, 2)], b"real"))
    with (tmp_path / "b.tar").open("rb") as file:
        (member,) = members_of(file, 11264, "b.tar")
    assert member.problem == "a sparse file with holes: unpack the tar"


def test_a_tar_of_zeros_has_no_members(tmp_path):
    (tmp_path / "a.tar").write_bytes(bytes(10240))
    assert read_members(tmp_path / "a.tar") == []


@pytest.mark.parametrize("form", FORMS, ids=["ustar", "gnu", "pax"])
def test_a_truncation_anywhere_is_found(tmp_path, write_tar, form):
    names = contents() | {("x" * 120): b"a name that needs an extra header"}
    if form == tarfile.USTAR_FORMAT:
        names.pop("x" * 120)
    whole = write_tar(tmp_path / "a.tar", names, form).read_bytes()
    last = by_tarfile(tmp_path / "a.tar")[-1]
    end = last.offset + -(-last.size // 512) * 512
    for size in [*range(256, end, 256), end, end + 512]:
        (tmp_path / "b.tar").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"b\.tar"):
            read_members(tmp_path / "b.tar")


@pytest.mark.parametrize("form", FORMS, ids=["ustar", "gnu", "pax"])
def test_a_flipped_bit_in_any_header_is_found(tmp_path, write_tar, form):
    path = write_tar(tmp_path / "a.tar", contents(), form)
    whole = path.read_bytes()
    for member in read_members(path):
        damaged = bytearray(whole)
        damaged[member.offset - 512 + 3] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"checksum|not a tar"):
            read_members(path)


def test_a_member_that_claims_8_gigabytes_is_refused_with_both_sizes(tmp_path):
    header = tarfile.TarInfo("big.png")
    header.size = 8 << 30
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        (tmp_path / "a.tar").write_bytes(header.tobuf(form) + bytes(1000))
        with pytest.raises(DataError, match=r"8,589,934,592|damaged"):
            read_members(tmp_path / "a.tar")


def test_a_second_tar_after_the_first_is_refused(plain_tar):
    plain_tar.write_bytes(plain_tar.read_bytes() * 2)
    with pytest.raises(DataError, match="several tars in one"):
        read_members(plain_tar)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>" * 40, "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (
            b"PK\x03\x04" + bytes(range(256)) * 8,
            r"it is a zip archive. Unpack it: unzip",
        ),
        (b"BZh9" + bytes(range(256)) * 8, r"bzip2 archive. Unpack it: tar -xf \S+ -C FOLDER"),
        (b"junk" + bytes(range(1, 256)) * 8, "not a tar: it starts with"),
        (b"short", "truncated inside a header"),
    ],
    ids=["empty", "html", "lfs", "zip", "bzip2", "junk", "short"],
)
def test_a_file_that_is_not_a_tar_is_identified(tmp_path, content, message):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_members(tmp_path / "a.tar")


@pytest.mark.parametrize("form", FORMS, ids=["ustar", "gnu", "pax"])
def test_random_damage_raises_only_data_errors(tmp_path, write_tar, form):
    path = write_tar(tmp_path / "a.tar", contents() | {"gr\u00fcn.png": b"umlaut"}, form)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(8000)] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            members = read_members(path)
        except DataError:
            continue
        # Files that pass have intact headers: only contents were changed.
        assert all(m.offset + m.size <= len(whole) for m in members)
