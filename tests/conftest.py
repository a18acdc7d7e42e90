"""How the tests are shared out among processes, and fixtures that several folders need."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Each of several test processes has one core's share; torch, imported later, reads this.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Commands under test stop on SIGHUP, also where the tests run below nohup.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start Ray come first: where they run beside the others, they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under `--dist loadfile`, all files with tests that start Ray go to the same process.

    Two clusters at a time would starve each other.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class LoadFileScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "ray" if _starts_ray(config.rootpath / file) else file

    return LoadFileScheduling(config, log)


@functools.cache
def _starts_ray(file: Path) -> bool:
    return "pytest.mark.ray" in file.read_text()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked gpu are skipped where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and third-party weights, beside the repository where it exists."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared data pack is not beside the repository")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what the tests and their processes decode out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIMIC_RAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_lines_of_progress() -> Iterator[None]:
    """Most tests compare all that a command says; those of the lines set their own interval."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIMIC_RAY_PROGRESS_S", "inf")
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_reader_process() -> Iterator[None]:
    """The process that reads torch files starts with the first of them and serves all tests."""
    from mimic_ray.weight_files import sandbox

    with sandbox.shared():
        yield


@pytest.fixture(scope="session")
def case(tmp_path_factory) -> Path:
    """A small real case: a folder with teacher.pth (tiny_resnet under "state_dict", prefix
    "module.") and images/."""
    # Imported here: most tests need neither, and torch takes seconds.
    import numpy as np
    import torch
    from PIL import Image

    from mimic_ray.encoders import encoder_registry

    folder: Path = tmp_path_factory.mktemp("case")
    torch.manual_seed(0)
    state = encoder_registry.build("tiny_resnet").net.state_dict()
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}
    wrapped["state_dict"]["module.fc.weight"] = torch.randn(10, 4)
    torch.save(wrapped, folder / "teacher.pth")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(folder / "images" / f"{number:03}.png")
    return folder


@pytest.fixture(scope="session")
def purify_arguments(case):
    """The arguments of a purification of a few steps into `out`."""

    def arguments(out: Path, *more: str, steps: int = 12) -> list[str]:
        return [
            *("purify", "--encoder", "tiny_resnet", "--teacher", str(case / "teacher.pth")),
            *("--data", str(case / "images"), "--out", str(out), "--threads", "1"),
            *("--set", f"training.steps={steps}", "--set", "training.batch=8"),
            *("--set", "training.precision=fp32", *more),
        ]

    return arguments


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, purify_arguments) -> Callable[..., Path]:
    """The run folder of a purification of so many steps, made in this process without Ray.

    Made once for the same arguments: only to be read.
    """
    from tests.cli.toy_images import run

    @functools.cache
    def purified(steps: int, *more: str) -> Path:
        out: Path = tmp_path_factory.mktemp("undisturbed") / "run"
        assert run(purify_arguments(out, "--local", *more, steps=steps)) == 0
        return out

    return purified


@pytest.fixture(scope="session")
def s3_server():
    """The environment of a running S3 server."""
    from tests.support import local_s3

    if not local_s3.is_installed():
        pytest.skip("moto, which brings the S3 server, is not installed")
    with local_s3.local_s3() as environment:
        yield environment


@pytest.fixture
def bucket(s3_server, monkeypatch) -> str:
    """The address of a new bucket, in an environment that knows its server."""
    import secrets

    from tests.support import local_s3

    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{secrets.token_hex(4)}"
    local_s3.create_bucket(name)
    return f"s3://{name}"
