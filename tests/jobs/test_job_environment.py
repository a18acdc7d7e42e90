"""The upload of a job, packed by Ray's own code: the complete package and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mimic_ray
from mimic_ray.jobs.job_environment import job_environment

PACKAGE = Path(mimic_ray.__file__).parent


def packed(environment: dict, folder: Path, archive: Path) -> set[str]:
    """The names in the archive that Ray would upload for a folder of the environment."""
    from ray._private.runtime_env.packaging import create_package

    create_package(
        str(folder),
        archive,
        include_gitignore=True,
        include_parent_dir=str(folder) in environment["py_modules"],
        excludes=environment["excludes"],
    )
    with zipfile.ZipFile(archive) as content:
        return {name for name in content.namelist() if not name.endswith("/")}


def uri(environment: dict) -> str:
    """The name under which Ray stores the package."""
    from ray._private.runtime_env.packaging import get_uri_for_directory

    (folder,) = environment["py_modules"]
    return get_uri_for_directory(folder, include_gitignore=True, excludes=environment["excludes"])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "package.zip"
    packed(job_environment(None, {}), PACKAGE, path)
    return path


@pytest.fixture(scope="module")
def names(archive):
    with zipfile.ZipFile(archive) as content:
        return [name for name in content.namelist() if not name.endswith("/")]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small package that tests can change."""
    here = tmp_path / "checkout" / "mimic_ray"
    (here / "base").mkdir(parents=True)
    (here / "__init__.py").write_text("")
    (here / "base" / "text.py").write_text("A = 1\n")
    monkeypatch.setattr("mimic_ray.jobs.job_environment.HOME", here.parent)
    return here


def test_every_module_and_recipe_is_uploaded(names):
    sources = {
        f"mimic_ray/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")
    }
    assert len(sources) > 100
    assert sources <= set(names)
    assert "mimic_ray/configs/default.toml" in names


def test_demo_images_caches_and_hidden_files_are_not_uploaded(names):
    assert not [name for name in names if "demo_data" in name or name.endswith(".pyc")]
    assert not [name for name in names if "__pycache__" in name or "/." in name]


def test_files_beside_the_package_are_not_uploaded(checkout, tmp_path):
    for beside in (checkout.parent, checkout):
        (beside / ".env").write_text("secret")
    (checkout.parent / "id_rsa").write_text("secret")
    (checkout / "demo_data").mkdir()
    (checkout / "demo_data" / "clean.tar.gz").write_text("images")
    found = packed(job_environment(None, {}), checkout, tmp_path / "package.zip")
    assert found == {"mimic_ray/__init__.py", "mimic_ray/base/text.py"}


def test_equal_content_is_stored_once_and_changed_content_again(checkout):
    first = uri(job_environment(None, {}))
    assert uri(job_environment(None, {"A": "1"})) == first
    (checkout / "base" / "__pycache__").mkdir()
    (checkout / "base" / "__pycache__" / "text.pyc").write_bytes(b"x")
    assert uri(job_environment(None, {})) == first
    (checkout / "base" / "text.py").write_text("A = 2\n")
    assert uri(job_environment(None, {})) != first


def test_files_of_the_command_are_uploaded_under_any_name(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    for name in ("mine.toml", ".hidden.toml", "demo_data"):
        (files / name).write_text("x")
    environment = job_environment(files, {})
    assert environment["working_dir"] == str(files)
    found = packed(environment, files, tmp_path / "files.zip")
    assert found == {"mine.toml", ".hidden.toml", "demo_data"}


def test_without_files_the_job_has_no_working_folder():
    environment = job_environment(None, {"A": "1"})
    assert "working_dir" not in environment
    assert environment["env_vars"] == {"A": "1"}


def test_the_package_runs_from_the_folder_that_ray_unpacks_it_to(archive, tmp_path):
    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path)
    program = "from mimic_ray.store.recipe_file import load_recipe; print(load_recipe('official'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "training" in done.stdout
