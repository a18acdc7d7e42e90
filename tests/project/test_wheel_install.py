"""The wheel as a user installs it: in an environment of its own, away from the checkout.

Its dependencies come from the environment of the tests, which spares the download of torch.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mimic_ray

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run(*words: object, cwd: Path) -> str:
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=outside, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory) -> Path:
    """The commands of an environment into which pip has installed the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    run(sys.executable, *wheel, cwd=folder)
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    (found,) = folder.glob("mimic_ray-*.whl")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", found, cwd=folder)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    # .pth files in these folders are not followed, so that the checkout itself is not found.
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (Path(site.strip()) / "dependencies.pth").write_text("\n".join(packages))
    return python.parent


def test_the_version_and_the_help_are_printed(bin_folder, tmp_path):
    command = bin_folder / "mimic-ray"
    assert run(command, "--version", cwd=tmp_path) == f"mimic-ray {mimic_ray.__version__}\n"
    assert "purify" in run(command, "--help", cwd=tmp_path)


def test_recipes_and_the_data_of_the_demo_are_found(bin_folder, tmp_path):
    program = (
        "import mimic_ray; from mimic_ray.store.recipe_file import load_recipe; "
        "from mimic_ray.workflows.demo import DATA; load_recipe('default'); "
        "print(mimic_ray.__file__, *(path.name for path in DATA.iterdir()))"
    )
    package, *data = run(bin_folder / "python", "-c", program, cwd=tmp_path).split()
    assert Path(package).is_relative_to(bin_folder.parent)
    assert {"clean.tar.gz", "resnet20-cifar10.th"} <= {*data}


def test_the_wheel_has_nothing_but_the_package(bin_folder):
    (installed,) = bin_folder.parent.glob("lib/*/site-packages/mimic_ray-*.dist-info/RECORD")
    tops = {line.partition("/")[0] for line in installed.read_text().splitlines()}
    assert tops <= {"mimic_ray", installed.parent.name, ".."}  # .. is bin/mimic-ray
