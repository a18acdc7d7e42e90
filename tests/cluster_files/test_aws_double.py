"""Ray's AWS code starts the nodes of a file in moto, a simulation of EC2 and IAM."""

from __future__ import annotations

import pytest
import yaml

from tests.cluster_files.cluster_examples import FOLDER, edited

pytestmark = pytest.mark.slow


@pytest.fixture
def ec2(monkeypatch, tmp_path):
    """A client of the simulated EC2; IAM has the two roles that the file names."""
    import boto3
    import moto

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes its key to ~/.ssh
    with moto.mock_aws():
        for role in ("mimic-ray-head", "mimic-ray-worker"):
            boto3.client("iam").create_instance_profile(InstanceProfileName=role)
        yield boto3.client("ec2", "us-west-2")


def launched(path, ec2) -> tuple[dict, list[dict]]:
    """Ray's configuration for the file, and the instances that it starts, one of each type."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load(path.read_text()))
    validate_config(config)
    config = bootstrap_aws(config)
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for kind in ("head", "gpu"):
        node_config = config["available_node_types"][kind]["node_config"]
        provider.create_node(node_config, {"ray-user-node-type": kind}, 1)
    reservations = ec2.describe_instances()["Reservations"]
    return config, [instance for part in reservations for instance in part["Instances"]]


@pytest.mark.filterwarnings("ignore")
def test_nodes_have_the_machine_role_and_metadata_options_of_the_file(ec2):
    _, instances = launched(FOLDER / "aws.yaml", ec2)
    by_kind = {
        next(tag["Value"] for tag in node["Tags"] if tag["Key"] == "ray-user-node-type"): node
        for node in instances
    }
    assert by_kind["head"]["InstanceType"] == "m7i.2xlarge"
    assert by_kind["gpu"]["InstanceType"] == "p4de.24xlarge"
    assert by_kind["gpu"]["InstanceLifecycle"] == "spot"
    assert "InstanceLifecycle" not in by_kind["head"]
    for kind, role in (("head", "mimic-ray-head"), ("gpu", "mimic-ray-worker")):
        assert by_kind[kind]["IamInstanceProfile"]["Arn"].endswith(f"/{role}")
        options = by_kind[kind]["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)


@pytest.mark.filterwarnings("ignore")
def test_the_security_group_that_ray_creates_opens_only_ssh(ec2):
    launched(FOLDER / "aws.yaml", ec2)
    open_ = [
        (rule["FromPort"], rule["ToPort"])
        for group in ec2.describe_security_groups()["SecurityGroups"]
        for rule in group["IpPermissions"]
        if rule["IpRanges"] or rule["Ipv6Ranges"]
    ]
    assert open_ == [(22, 22)]


@pytest.mark.filterwarnings("ignore")
def test_ray_finds_a_misspelt_key_of_a_node_only_when_it_starts_the_node(ec2, tmp_path):
    path = edited(tmp_path, "aws.yaml", ("HttpTokens", "HttpToken"))
    with pytest.raises(Exception, match="HttpToken"):
        launched(path, ec2)
