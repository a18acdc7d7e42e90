"""The start-up cost of light commands: what they import."""

import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

MAIN = "from mimic_ray.cli.app import main"
HEAVY = ("torch", "ray", "torchvision", "timm", "matplotlib", "pyarrow", "pandas")


def imported_after(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import mimic_ray",
        f"{MAIN}\ntry: main(['--help'])\nexcept SystemExit: pass",
        f"{MAIN}\ntry: main(['purify', '--help'])\nexcept SystemExit: pass",
        "import mimic_ray.base.progress",
        "from mimic_ray.encoders import encoder_registry; encoder_registry.names()",
        "import mimic_ray.data.perturbations.perturbation_registry as r; list(r.PERTURBATIONS)",
    ],
)
def test_light_work_imports_nothing_heavy(code):
    assert not imported_after(code).intersection(HEAVY)


def test_the_check_notices_a_heavy_import():
    assert "torch" in imported_after("import mimic_ray; mimic_ray.load_encoder")


def test_the_main_job_in_process_imports_neither_ray_nor_networks_that_it_does_not_use():
    found = imported_after("import mimic_ray.workflows.purify, mimic_ray.execution.worker")
    assert not found & {"ray", "timm", "torchvision", "matplotlib", "optuna", "pandas"}


def test_reading_a_layout_and_matching_it_need_no_torch():
    found = imported_after(
        "import mimic_ray.workflows.inspect\n"
        "from mimic_ray.weight_files.known_layouts import known_layouts\n"
        "known_layouts()"
    )
    assert not found & {"torch", "numpy"}


def test_the_process_that_reads_torch_files_needs_no_torch():
    found = imported_after("import mimic_ray.weight_files.child")
    assert not found & {"torch", "safetensors", "PIL"}


def test_tests_import_slow_packages_inside_functions():
    """Each test process imports all files of tests before its first test."""
    slow = r"timm|torchvision|ray|matplotlib|torch\.distributed\.checkpoint"
    at_the_top = re.compile(rf"^(?:import|from) (?:{slow})\b", re.MULTILINE)
    assert at_the_top.search("import torch\nimport timm\n")
    files = [*(ROOT / "tests").rglob("test_*.py")]
    assert [file for file in files if at_the_top.search(file.read_text())] == []
