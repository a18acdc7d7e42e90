from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import DamagedCheckpointError, ResourceError, UnsafeCheckpointError
from mimic_ray.weight_files import sandbox
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files import crafted
from tests.weight_files.crafted import refused, torch_bytes, weights


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process for each file, as outside these tests."""
    monkeypatch.setattr(sandbox, "_shared", None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "weights.pt").write_bytes(torch_bytes(weights()))
    return tmp_path / "weights.pt"


def processes() -> set[str]:
    """Ids of the running children of this process."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.usefixtures("own_process")
def test_no_process_and_no_folder_remains(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(file.parent))
    before = processes()
    tensors = read_checkpoint(file).groups[()]
    assert processes() == before
    assert list(file.parent.iterdir()) == [file]
    assert torch.equal(tensors["conv.bias"], weights()["conv.bias"])  # its file was deleted


@pytest.mark.usefixtures("own_process")
def test_the_reader_imports_nothing_from_the_current_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = file.parent / "canary"
    for name in ("torch.py", "json.py", "mimic_ray.py"):
        (file.parent / name).write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.chdir(file.parent)
    read_checkpoint(file)
    assert not canary.exists()


def test_memory_over_the_limit_is_refused_and_not_allocated(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MEMORY_BYTES", 64 << 20)
    read_checkpoint(file)
    # 64 bytes of memory for each byte of the file.
    many = b"\x80\x02]" + b"(" + b"}" * 2_000_000 + b"e."
    file.write_bytes(crafted.with_pickle(lambda _: many))
    with pytest.raises(UnsafeCheckpointError, match="needs more than 7"):
        read_checkpoint(file)


@pytest.mark.parametrize("megabytes", [200])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_normal_file_needs_at_most_twice_its_size(
    file: Path, megabytes: int, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MEMORY_BYTES", 32 << 20)
    tensors = {str(index): torch.zeros(1 << 18) for index in range(megabytes)}
    file.write_bytes(torch_bytes(tensors, legacy))
    assert len(read_checkpoint(file).groups[()]) == megabytes


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGSEGV, DamagedCheckpointError), (signal.SIGKILL, ResourceError)],
)
def test_a_crash_of_the_reader_is_a_clear_error(
    file: Path, number: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.Sandbox, "send", lambda *_: -number)
    with pytest.raises(kind, match=r"weights\.pt"):
        read_checkpoint(file)


@pytest.mark.usefixtures("own_process")
def test_a_shared_process_that_died_is_replaced(file: Path) -> None:
    with sandbox.shared():
        read_checkpoint(file)
        process = sandbox._shared._process
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with pytest.raises(ResourceError):
            read_checkpoint(file)
        assert read_checkpoint(file).groups


@pytest.mark.usefixtures("own_process")
def test_a_shared_process_reads_all_files(file: Path) -> None:
    with sandbox.shared():
        read_checkpoint(file)
        before = processes()
        read_checkpoint(file)
        assert processes() == before


def test_a_file_that_never_finishes_loading_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)
    # 2^24 calls that each make a dictionary of as many entries as the one before, plus one.
    grows = b"ccollections\nCounter\n" + pickle.BINPUT + b"\x00" + b"}" + pickle.BINPUT + b"\x01"
    pairs = b"".join(
        b"h\x00h\x01J" + number.to_bytes(4, "little") + b"K\x00s\x85R0" for number in range(1 << 16)
    )
    content = crafted.with_pickle(lambda _: b"\x80\x02" + grows + pairs + b".")
    assert "took more than" in refused(content, tmp_path, UnsafeCheckpointError)


def test_the_reader_works_after_a_refused_file(tmp_path: Path) -> None:
    refused(torch_bytes({"w": crafted.shell(tmp_path / "canary")}), tmp_path, UnsafeCheckpointError)
    (tmp_path / "good").write_bytes(torch_bytes(weights()))
    assert read_checkpoint(tmp_path / "good").groups[()].keys() == weights().keys()
