"""The wheel that travels: the package, all of it, nothing else, and the same for the same files."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mimic_ray
from mimic_ray.jobs import wheel
from mimic_ray.jobs.wheel import build_wheel

PACKAGE = Path(mimic_ray.__file__).parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the package as a checkout keeps it, which a test may change."""
    here = tmp_path / "checkout" / "mimic_ray"
    (here / "base").mkdir(parents=True)
    (here / "__init__.py").write_text("")
    (here / "base" / "text.py").write_text("A = 1\n")
    (here.parent / "configs").mkdir()
    (here.parent / "configs" / "default.toml").write_text("[a]\n")
    monkeypatch.setattr(wheel.mimic_ray, "__file__", str(here / "__init__.py"))
    return here


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_it_holds_every_module_and_recipe(built):
    sources = {f"mimic_ray/{p.relative_to(PACKAGE).as_posix()}" for p in PACKAGE.rglob("*.py")}
    assert len(sources) > 100
    assert sources <= set(names(built))
    assert "mimic_ray/configs/default.toml" in names(built)
    assert any(name.startswith("mimic_ray/demo_data/") for name in names(built))


def test_it_holds_nothing_but_the_package(built):
    tops = {name.partition("/")[0] for name in names(built)}
    assert len(tops) == 2
    assert "mimic_ray" in tops
    assert not [name for name in names(built) if "__pycache__" in name or "/." in name]


def test_the_same_files_give_the_same_bytes(built, tmp_path):
    again = build_wheel(tmp_path)
    assert again.name == built.name
    assert again.read_bytes() == built.read_bytes()


def test_a_changed_file_gives_another_name(checkout, tmp_path):
    """Ray never looks again at a wheel whose name it knows."""
    first = build_wheel(tmp_path)
    (checkout / "base" / "text.py").write_text("A = 2\n")
    assert build_wheel(tmp_path).name != first.name


def test_a_moved_line_between_files_gives_another_name(checkout, tmp_path):
    """The same bytes one after the other, in files that are cut elsewhere."""
    (checkout / "a.py").write_text("xy")
    (checkout / "b.py").write_text("z")
    first = build_wheel(tmp_path)
    (checkout / "a.py").write_text("x")
    (checkout / "b.py").write_text("yz")
    assert build_wheel(tmp_path).name != first.name


def test_what_lies_beside_the_package_stays(checkout, tmp_path):
    for name in (".env", "id_rsa", "notes.txt"):
        (checkout.parent / name).write_text("secret")
    (checkout / ".env").write_text("secret")
    (checkout.parent / "data").mkdir()
    (checkout.parent / "data" / "image.png").write_text("secret")
    found = [n for n in names(build_wheel(tmp_path)) if ".dist-info/" not in n]
    assert found == [
        "mimic_ray/__init__.py",
        "mimic_ray/base/text.py",
        "mimic_ray/configs/default.toml",
    ]


def test_every_file_is_as_the_record_says(built):
    with zipfile.ZipFile(built) as archive:
        record = next(name for name in archive.namelist() if name.endswith("/RECORD"))
        lines = [line.rsplit(",", 2) for line in archive.read(record).decode().splitlines()]
        assert {name for name, _, _ in lines} == set(archive.namelist())
        for name, digest, size in lines:
            if name == record:
                continue
            content = archive.read(name)
            said = base64.urlsafe_b64decode(digest.removeprefix("sha256=") + "=")
            assert (said, int(size)) == (hashlib.sha256(content).digest(), len(content)), name


def test_it_runs_from_where_it_was_unpacked(built, tmp_path):
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mimic_ray", "purify", "--help"],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "--teacher" in done.stdout
