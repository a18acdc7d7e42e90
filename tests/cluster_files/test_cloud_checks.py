"""Checks of the keys that Ray passes on to a cloud, against the SDK of the cloud."""

from __future__ import annotations

import pytest
import yaml

from mimic_ray.cluster_files import cloud_checks
from tests.cluster_files.cluster_examples import (
    AWS,
    FOLDER,
    GCP,
    check_one_error,
    edited,
    findings,
)

GPU = "available_node_types.gpu.node_config"
HEAD = "available_node_types.head.node_config"
MACHINE = "      machineType: n2-standard-8\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "path", "words"),
    [
        (AWS, "region:", "regoin:", "provider.regoin", "mean region?"),
        (AWS, "  region: us-west-2\n", "", "provider", '"region" is missing'),
        (AWS, "InstanceType: p4de", "InstanceTyp: p4de", f"{GPU}.InstanceTyp", "InstanceType?"),
        (AWS, "HttpTokens", "HttpToken", f"{HEAD}.MetadataOptions.HttpToken", "HttpTokens?"),
        (AWS, "VolumeSize: 200", "VolumeSize: large", "Ebs.VolumeSize", "an integer"),
        (GCP, "project_id", "projectid", "provider.projectid", "mean project_id?"),
        (GCP, MACHINE, "", HEAD, '"machineType" is missing'),
        (GCP, "machineType", "machinetype", f"{HEAD}.machinetype", "mean machineType?"),
        (GCP, "diskSizeGb", "diskSizeGB", "initializeParams.diskSizeGB", "diskSizeGb?"),
        (GCP, "Model: SPOT", "Model: SPOTS", f"{GPU}.scheduling.provisioningModel", "mean SPOT?"),
    ],
)
def test_a_mistake_is_one_error_at_its_path_and_line(tmp_path, name, old, new, path, words):
    check_one_error(tmp_path, name, old, new, path, words)


def test_keys_of_ray_and_sizes_as_text_are_accepted(tmp_path):
    subnet = "      InstanceType: m7i.2xlarge\n"
    file = edited(tmp_path, AWS, (subnet, f"{subnet}      SubnetIds: [subnet-1]\n"))
    assert findings(file) == []
    edits = [("diskSizeGb: 200", 'diskSizeGb: "200"'), (MACHINE, "      acceleratorType: v4-8\n")]
    assert findings(edited(tmp_path, GCP, *edits)) == []


@pytest.mark.parametrize("name", [AWS, GCP])
def test_without_the_sdk_a_note_says_what_is_not_checked(tmp_path, name, monkeypatch):
    monkeypatch.setattr(cloud_checks, "find_spec", lambda _: None)
    file = edited(tmp_path, name, ("machineType", "machinetype") if name == GCP else ("Ebs", "Eb"))
    notes = [note.message for note in findings(file, "note")]
    assert any("mimic-ray[cluster-check]" in note for note in notes)
    # The machine is still required.
    assert [found.message for found in findings(file)] == (
        ['"machineType" is missing.'] if name == GCP else []
    )


def test_other_clouds_are_checked_by_ray_only(tmp_path):
    document = yaml.safe_load((FOLDER / AWS).read_text())
    document["provider"] = {"type": "azure", "location": "westus2", "resource_group": "x"}
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(document))
    assert findings(path) == []
    assert any("Keys of azure are not checked" in note.message for note in findings(path, "note"))
