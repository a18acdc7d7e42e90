from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import DamagedCheckpointError, ResourceError, UnsafeCheckpointError
from mimic_ray.encoders.checkpoint import sandbox
from mimic_ray.encoders.checkpoint.read import read_checkpoint
from tests.encoders.checkpoint import crafted
from tests.encoders.checkpoint.crafted import torch_bytes, weights


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process for each file, as outside of the tests."""
    monkeypatch.setattr(sandbox, "_kept", None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "weights.pt").write_bytes(torch_bytes(weights()))
    return tmp_path / "weights.pt"


def processes() -> set[str]:
    """Ids of this process's children that are alive."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.usefixtures("own_process")
def test_no_process_and_no_folder_is_left_behind(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(file.parent))
    before = processes()
    tensors = read_checkpoint(file).groups[()]
    assert processes() == before
    assert list(file.parent.iterdir()) == [file]
    assert torch.equal(tensors["conv.bias"], weights()["conv.bias"])  # also after its file is gone


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


def test_memory_beyond_the_limit_is_refused_and_not_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MEMORY_BYTES", 64 << 20)
    read_checkpoint(file)
    file.write_bytes(torch_bytes([crafted.Calls(bytearray, 80 << 20)]))
    with pytest.raises(UnsafeCheckpointError, match="asks for more than 67,"):
        read_checkpoint(file)


@pytest.mark.parametrize("megabytes", [200])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_twice_its_size_is_memory_enough_for_an_honest_file(
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
def test_a_reader_that_dies_is_told_in_words(
    file: Path, number: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.Sandbox, "send", lambda *_: -number)
    with pytest.raises(kind, match=r"weights\.pt"):
        read_checkpoint(file)


@pytest.mark.usefixtures("own_process")
def test_a_kept_process_that_is_gone_is_replaced(file: Path) -> None:
    with sandbox.kept():
        read_checkpoint(file)
        kept = sandbox._kept
        assert kept is not None
        assert kept._process is not None
        os.kill(kept._process.pid, signal.SIGKILL)
        kept._process.wait()
        with pytest.raises(ResourceError):
            read_checkpoint(file)
        assert read_checkpoint(file).groups


@pytest.mark.usefixtures("own_process")
def test_one_kept_process_serves_every_file(file: Path) -> None:
    with sandbox.kept():
        read_checkpoint(file)
        alive = processes()
        read_checkpoint(file)
        assert processes() == alive
