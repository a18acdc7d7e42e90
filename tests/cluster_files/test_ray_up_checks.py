"""Mistakes in `ray up` files: each is one error on its line, with the name that was meant."""

from __future__ import annotations

import pytest
import yaml

from tests.cluster_files.cluster_examples import (
    AWS,
    FOLDER,
    GCP,
    check_one_error,
    edited,
    findings,
)

GPU = "available_node_types.gpu"


@pytest.mark.parametrize(
    ("old", "new", "path", "words"),
    [
        # Ray's schema
        ("ssh_user:", "ssh_usr:", "auth.ssh_usr", "mean ssh_user?"),
        ("GPU: 8", 'GPU: "one"', f"{GPU}.resources.GPU", "an integer"),
        ("setup_commands: []", "setup_commands: ls", "setup_commands", "must be a list"),
        # Ray's rules
        ("  container_name: mimic-ray\n", "", "docker", "container & image name"),
        ("\nmax_workers: 1", "\nmax_workers: 0", "max_workers", "Ray refuses it"),
        ("type: aws", "type: awss", "provider.type", "mean aws?"),
        ("type: head\n", "type: hed\n", "head_node_type", "mean head?"),
        # neither
        ("--num-cpus", "--num-cpu", "head_start_ray_commands[1]", "num-cpus?"),
    ],
)
def test_a_mistake_is_one_error_at_its_path_and_line(tmp_path, old, new, path, words):
    check_one_error(tmp_path, AWS, old, new, path, words)


def test_a_missing_provider_is_one_error(tmp_path):
    document = yaml.safe_load((FOLDER / AWS).read_text())
    del document["provider"]
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(document))
    (found,) = findings(tmp_path / "x.yaml")
    assert found.message == '"provider" is missing.'


def test_all_mistakes_of_a_file_are_reported_at_once(tmp_path):
    edits = [("ssh_user:", "ssh_usr:"), ("VolumeType", "VolumType"), ("region:", "regoin:")]
    assert len(findings(edited(tmp_path, AWS, *edits))) == 3


def test_min_workers_above_max_workers_of_a_node_type_is_an_error(tmp_path):
    old = "    min_workers: 1\n    max_workers: 8"
    (found,) = findings(edited(tmp_path, GCP, (old, old.replace("1", "9"))))
    assert found.message == "min_workers 9 is more than max_workers 8."
