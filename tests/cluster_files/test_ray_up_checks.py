"""Mistakes in files of `ray up`: each is found, at its place, with the word that was meant."""

from __future__ import annotations

import copy

import pytest
import yaml

from mimic_ray.cluster_files import cloud_keys
from mimic_ray.cluster_files.ray_start import OPTIONS
from tests.cluster_files.cluster_examples import FOLDER, findings, line_of, spoilt

GPU = "available_node_types.gpu"


@pytest.mark.parametrize(
    ("name", "old", "new", "path", "words"),
    [
        # what Ray's schema finds
        ("aws.yaml", "cluster_name:", "cluster_nam:", "cluster_nam", "mean cluster_name?"),
        ("aws.yaml", "ssh_user:", "ssh_usr:", "auth.ssh_usr", "mean ssh_user?"),
        (
            "aws.yaml",
            "    max_workers: 1",
            "    max_wokers: 1",
            f"{GPU}.max_wokers",
            "max_workers?",
        ),
        ("aws.yaml", "GPU: 8", 'GPU: "one"', f"{GPU}.resources.GPU", "a whole number"),
        (
            "aws.yaml",
            "setup_commands: []",
            "setup_commands: ls",
            "setup_commands",
            "must be a list",
        ),
        ("aws.yaml", "auth:\n  ssh_user: ubuntu", "auth: ubuntu", "auth", "must be a mapping"),
        # what Ray's own rules find
        ("aws.yaml", "  container_name: mimic-ray\n", "", "docker", "container & image name"),
        ("aws.yaml", "\nmax_workers: 1", "\nmax_workers: 0", "max_workers", "Ray refuses it"),
        ("aws.yaml", "type: aws", "type: awss", "provider.type", "mean aws?"),
        ("aws.yaml", "type: head\n", "type: hed\n", "head_node_type", "mean head?"),
        # what nobody but we looks at
        (
            "aws.yaml",
            "InstanceType: p4de",
            "InstanceTyp: p4de",
            f"{GPU}.node_config.InstanceTyp",
            "",
        ),
        ("aws.yaml", "region:", "regoin:", "provider.regoin", "mean region?"),
        ("aws.yaml", "  region: us-west-2\n", "", "provider", '"region" is missing'),
        ("aws.yaml", "HttpTokens", "HttpToken", "available_node_types.head.node_config.Meta", ""),
        ("aws.yaml", "--num-cpus", "--num-cpu", "head_start_ray_commands[1]", "num-cpus?"),
        ("aws.yaml", "--addres", "--adres", "worker_start_ray_commands[1]", "mean address?"),
        ("gcp.yaml", "project_id", "projectid", "provider.projectid", "mean project_id?"),
        ("gcp.yaml", "machineType", "machinetype", "node_config.machinetype", "mean machineType?"),
        (
            "gcp.yaml",
            "automaticRestart",
            "automatikRestart",
            "scheduling.auto",
            "automaticRestart?",
        ),
        ("gcp.yaml", "diskSizeGb", "diskSizeGB", "initializeParams.diskSizeGB", "diskSizeGb?"),
    ],
)
def test_a_mistake_is_found_at_its_place(tmp_path, name, old, new, path, words):
    file = spoilt(tmp_path, name, (old, new))
    (found,) = findings(file)
    assert path in found.path
    assert words in found.what
    written = new.strip() or path.rpartition(".")[2] + ":"
    assert found.line == line_of(file, written.splitlines()[-1])


def test_a_missing_provider_is_one_finding(tmp_path):
    document = yaml.safe_load((FOLDER / "aws.yaml").read_text())
    del document["provider"]
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(document))
    (found,) = findings(tmp_path / "x.yaml")
    assert found.what == '"provider" is missing.'


def test_all_mistakes_of_a_file_are_shown_at_once(tmp_path):
    edits = [("ssh_user:", "ssh_usr:"), ("VolumeType", "VolumType"), ("region:", "regoin:")]
    file = spoilt(tmp_path, "aws.yaml", *edits)
    assert len(findings(file)) == 3


def test_least_workers_of_a_type_over_its_most_is_found(tmp_path):
    old = "    min_workers: 1\n    max_workers: 1"
    file = spoilt(tmp_path, "aws.yaml", (old, old.replace("1", "2", 1)))
    (found,) = findings(file)
    assert found.what == "min_workers 2 is more than max_workers 1."


def test_a_key_given_twice_or_without_quotes_is_found(tmp_path):
    (found,) = findings(spoilt(tmp_path, "aws.yaml", ("auth:", "max_workers: 2\nauth:")))
    assert (found.path, "given twice" in found.what) == ("max_workers", True)
    (found,) = findings(spoilt(tmp_path, "aws.yaml", ("  gpu:", "  1:")))
    assert (found.path, "put it in quotes" in found.what) == ("available_node_types.1", True)


def test_checking_changes_nothing_and_prints_nothing(tmp_path, capsys):
    path = tmp_path / "x.yaml"
    path.write_text((FOLDER / "aws.yaml").read_text())
    findings(path)
    assert path.read_text() == (FOLDER / "aws.yaml").read_text()
    assert capsys.readouterr() == ("", "")


def test_rays_private_functions_do_what_the_checks_build_on():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((FOLDER / "gcp.yaml").read_text())
    validate_config(prepare_config(copy.deepcopy(config)))
    config["max_workers"], config["available_node_types"]["gpu"]["min_workers"] = 0, 1
    with pytest.raises(ValueError, match="max_workers"):
        validate_config(prepare_config(copy.deepcopy(config)))
    # Why we have tables of our own:
    config = yaml.safe_load((FOLDER / "aws.yaml").read_text())
    config["available_node_types"]["gpu"]["node_config"]["InstanceTyp"] = "x"
    config["provider"]["regoin"] = "x"
    validate_config(prepare_config(config))


def test_the_options_of_ray_start_are_rays():
    from ray.scripts.scripts import start

    theirs = {word for option in start.params for word in (*option.opts, *option.secondary_opts)}
    ours = {f"--{name}" for name in OPTIONS}
    assert {word for word in theirs if word.startswith("--")} == ours


def test_the_keys_of_aws_are_those_of_botocore():
    session = pytest.importorskip("botocore.session").get_session()
    shape = session.get_service_model("ec2").operation_model("RunInstances").input_shape

    def compare(shape, keys, place):
        members = (shape.member if shape.type_name == "list" else shape).members
        assert set(keys) == set(members), place
        for name, inner in keys.items():
            if inner is not None:
                compare(members[name], inner, f"{place}.{name}")

    compare(shape, cloud_keys.RUN_INSTANCES, "RunInstances")


def test_other_clouds_are_checked_by_ray_and_said_to_be(tmp_path):
    document = yaml.safe_load((FOLDER / "aws.yaml").read_text())
    document["provider"] = {"type": "azure", "location": "westus2", "resource_group": "x"}
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(document))
    assert findings(path) == []
    assert any("azure are not checked" in note.what for note in findings(path, "note"))
