"""`mimic-ray cluster render`: an option for every setting, a warning about placeholders."""

from __future__ import annotations

import dataclasses
import re
import shlex

import pytest

from mimic_ray.cli.app import main
from mimic_ray.cli.cluster_render_command import _GPUS
from mimic_ray.cluster_files.cluster_spec import ClusterSpec
from mimic_ray.cluster_files.machines import CLOUDS
from tests.cli.test_cluster_command import run
from tests.cluster_files.cluster_examples import FILES, FOLDER


def test_a_written_file_has_no_problems(capsys, tmp_path):
    file = tmp_path / "aws.yaml"
    settings = ("--provider", "aws", "--gpu", "a100", "--spot", "--image", "ghcr.io/me/mimic:1")
    code, out, err = run(capsys, "render", *settings, "--out", file)
    assert (code, err) == (0, "")
    assert f"mimic-ray cluster validate {file}" in out
    assert run(capsys, "validate", file)[:2] == (0, f"{file}: no problems found.\n")


def test_an_existing_file_is_only_overwritten_with_force(capsys, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("mine")
    arguments = ("render", "--provider", "aws", "--gpu", "l4", "--out", file)
    code, _, err = run(capsys, *arguments)
    assert (code, file.read_text(), "--force" in err) == (2, "mine", True)
    assert run(capsys, *arguments, "--force")[0] == 0
    assert "cluster_name" in file.read_text()


@pytest.mark.parametrize("name", FILES)
def test_the_command_in_the_first_line_of_a_file_prints_that_file(capsys, name):
    text = (FOLDER / name).read_text()
    words = shlex.split(text.splitlines()[0].partition("mimic-ray ")[2])
    assert words[:2] == ["cluster", "render"]
    code, out, err = run(capsys, *words[1:])
    assert (code, out) == (0, text)
    assert 'placeholder "registry.example.com"' in err


def test_gcp_needs_a_project(capsys):
    arguments = ("render", "--provider", "gcp", "--gpu", "l4")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Set --project to the ID of your GCP project." in err
    assert "project_id: mine\n" in run(capsys, *arguments, "--project", "mine")[1]


def test_every_setting_of_a_cluster_is_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["cluster", "render", "--help"])
    text = capsys.readouterr().out
    for field in dataclasses.fields(ClusterSpec):
        if field.name != "job":
            assert f"--{field.name.replace('_', '-')}" in text


def test_the_help_names_the_gpus_of_the_table():
    named = re.findall(r"[a-z0-9_]+", _GPUS.partition(": ")[2].replace(" or ", " "))
    assert sorted(named) == sorted({gpu for machines in CLOUDS.values() for gpu in machines})
