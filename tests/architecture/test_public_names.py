import subprocess
import sys

import pytest

import mimic_ray
from mimic_ray.cli.app import COMMANDS


def test_every_public_name_is_there_and_described():
    for name in set(mimic_ray.__all__) - {"__version__"}:
        assert getattr(mimic_ray, name).__doc__


def test_other_names_are_refused_by_python_s_own_error():
    with pytest.raises(AttributeError, match="no attribute 'purfy'"):
        _ = mimic_ray.purfy


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_its_help(command):
    done = subprocess.run(
        [sys.executable, "-m", "mimic_ray", command, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: mimic-ray" in done.stdout.replace("python -m mimic_ray", "mimic-ray")
