import gzip
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.cluster_files.machines import AWS, CLOUDS, HEADS, choose
from mimic_ray.planning.hardware import HARDWARE


def test_the_smallest_machine_with_enough_gpus_is_chosen_else_the_largest():
    assert choose("aws", "l4", 1, None).name == "g6.4xlarge"
    assert choose("aws", "L4", 3, None).name == "g6.12xlarge"
    assert choose("aws", "l4", 90, None).name == "g6.48xlarge"
    assert choose("gcp", "l4", 90, 2).name == "g2-standard-24"


def test_a_gpu_that_the_cloud_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(UnknownNameError, match=r"GCP has t4.*h200") as caught:
        choose("gcp", "a10g", 1, None)
    assert caught.value.kind == "gpu"
    with pytest.raises(UnknownNameError, match="Did you mean a10g or a100"):
        choose("aws", "a10", 1, None)
    with pytest.raises(UsageError, match="AWS has l4 by 1, 4, 8 in a node"):
        choose("aws", "l4", 1, 3)


def test_every_gpu_of_a_cluster_file_can_be_planned_for():
    names = {gpu for machines in CLOUDS.values() for gpu in machines}
    assert names <= HARDWARE.keys()
    assert HARDWARE.keys() - names == {"rtx4090"}  # no cloud rents it


def test_aws_machines_equal_those_of_the_ec2_api():
    """moto packages the answer of DescribeInstanceTypes."""
    moto = Path(find_spec("moto").origin).parent
    known = json.loads(
        gzip.decompress((moto / "ec2/resources/instance_types.json.gz").read_bytes())
    )
    for gpu, machines in [*AWS.items(), ("", [HEADS["aws"]])]:
        for machine in machines:
            facts = known[machine.name]
            assert facts["VCpuInfo"]["DefaultVCpus"] == machine.cpus
            assert facts["MemoryInfo"]["SizeInMiB"] == machine.memory * 1024
            cards = facts.get("GpuInfo", {}).get("Gpus", [])
            assert sum(card["Count"] for card in cards) == machine.gpus
            assert all(card["Name"].lower() == gpu.removesuffix("_40") for card in cards)
