"""Ray's own code of AWS takes our file: against a double of EC2 and IAM, with no network."""

from __future__ import annotations

import pytest
import yaml

from tests.cluster_files.cluster_examples import FOLDER, edited

pytestmark = pytest.mark.slow


@pytest.fixture
def double(monkeypatch, tmp_path):
    """EC2 and IAM of nobody, with the two roles that the file names."""
    moto = pytest.importorskip("moto")
    boto3 = pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes its key to ~/.ssh
    with moto.mock_aws():
        for role in ("mimic-ray-head", "mimic-ray-worker"):
            boto3.client("iam").create_instance_profile(InstanceProfileName=role)
        yield boto3.client("ec2", "us-west-2")


def launched(path, double) -> tuple[dict, list[dict]]:
    """What Ray makes of the file, and the instances that it starts for a node of each type."""
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
    reservations = double.describe_instances()["Reservations"]
    return config, [instance for part in reservations for instance in part["Instances"]]


@pytest.mark.filterwarnings("ignore")
def test_nodes_are_the_machines_of_the_file_with_their_roles_and_locked_metadata(double):
    _, instances = launched(FOLDER / "aws.yaml", double)
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
def test_the_security_group_that_ray_makes_opens_ssh_alone(double):
    launched(FOLDER / "aws.yaml", double)
    open_ = [
        (rule["FromPort"], rule["ToPort"])
        for group in double.describe_security_groups()["SecurityGroups"]
        for rule in group["IpPermissions"]
        if rule["IpRanges"] or rule["Ipv6Ranges"]
    ]
    assert open_ == [(22, 22)]


@pytest.mark.filterwarnings("ignore")
def test_a_misspelt_key_of_a_node_is_what_ray_finds_only_when_it_starts_one(double, tmp_path):
    path = edited(tmp_path, "aws.yaml", ("HttpTokens", "HttpToken"))
    with pytest.raises(Exception, match="HttpToken"):
        launched(path, double)


def test_the_figures_of_machines_are_those_of_the_ec2_api():
    import gzip
    import json
    from pathlib import Path

    from mimic_ray.cluster_files.machines import AWS
    from mimic_ray.cluster_files.ray_up import HEADS

    moto_ec2 = pytest.importorskip("moto.ec2")
    packed = Path(moto_ec2.__file__).parent / "resources" / "instance_types.json.gz"
    known = json.loads(gzip.decompress(packed.read_bytes()))
    for gpu, machines in [*AWS.items(), ("", [HEADS["aws"]])]:
        for machine in machines:
            facts = known[machine.name]
            assert facts["VCpuInfo"]["DefaultVCpus"] == machine.cpus
            assert facts["MemoryInfo"]["SizeInMiB"] == machine.memory * 1024
            cards = facts.get("GpuInfo", {}).get("Gpus", [])
            assert sum(card["Count"] for card in cards) == machine.gpus
            assert all(card["Name"].lower() == gpu.removesuffix("_40") for card in cards)
