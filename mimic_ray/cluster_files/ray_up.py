"""The file of `ray up` for AWS and GCP: a CPU head and one group of GPU workers.

The clouds differ in `provider` and in a node's `node_config`; all else is the same.
"""

from __future__ import annotations

from typing import Any

from mimic_ray.base.text import count
from mimic_ray.cluster_files.cluster_spec import ClusterSpec
from mimic_ray.cluster_files.machines import Machine
from mimic_ray.cluster_files.yaml_writer import Noted

HEADS = {"aws": Machine("m7i.2xlarge", 0, 8, 32), "gcp": Machine("n2-standard-8", 0, 8, 32)}
MOUNT = "/mnt/shared"

_AWS_IMAGE = (
    "resolve:ssm:/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04"
    "/latest/ami-id"
)
_GCP_IMAGE = (
    "projects/deeplearning-platform-release/global/images/family/"
    "common-cu129-ubuntu-2204-nvidia-580"
)
_TOKEN_IN_IMAGE = "/home/ray/.ray/auth_token"


def documents(wanted: ClusterSpec) -> list[dict[str, Any]]:
    """The one document of the file."""
    head, machine = HEADS[wanted.provider], wanted.machine
    node_config = _aws_node if wanted.provider == "aws" else _gcp_node
    workers = {
        "min_workers": wanted.min_nodes,
        "max_workers": wanted.max_nodes,
        "resources": {"CPU": machine.cpus, "GPU": machine.gpus},
        "node_config": node_config(wanted, machine),
    }
    if wanted.provider == "gcp":
        workers["initialization_commands"] = Noted(
            [*_initialisation(wanted), _WAIT_FOR_DRIVER],
            "The driver is installed at the first start of the machine.",
        )
    return [
        {
            "cluster_name": wanted.name,
            "max_workers": wanted.max_nodes,
            "idle_timeout_minutes": 10,
            "provider": _provider(wanted),
            "auth": {"ssh_user": "ubuntu"},
            "docker": _docker(wanted),
            "file_mounts": Noted(
                {_TOKEN_IN_IMAGE: wanted.token_file},
                "The token of the cluster: a file of yours (0600), never written into this one. "
                "Make it with: ray get-auth-token --generate",
            ),
            "initialization_commands": _initialisation(wanted),
            "setup_commands": Noted([], "All that is needed is in the image."),
            "head_setup_commands": [],
            "worker_setup_commands": [],
            "head_node_type": "head",
            "available_node_types": {
                "head": {
                    "resources": Noted(
                        {"CPU": 0},
                        "Nothing is scheduled on the head: no trial or worker can starve it.",
                    ),
                    "min_workers": 0,
                    "max_workers": 0,
                    "node_config": node_config(wanted, head),
                },
                "gpu": Noted(workers, _group_note(wanted)),
            },
            "head_start_ray_commands": Noted(
                [
                    "ray stop",
                    "ray start --head --port=6379 --object-manager-port=8076 --num-cpus=0 "
                    "--dashboard-host=127.0.0.1 --autoscaling-config=~/ray_bootstrap_config.yaml",
                ],
                "The dashboard and the job server listen on the head's loopback only; reach them "
                "with: mimic-ray cluster attach FILE --dashboard",
            ),
            "worker_start_ray_commands": [
                "ray stop",
                "ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076 "
                f"--object-store-memory={wanted.object_store_bytes}",
            ],
        }
    ]


def _group_note(wanted: ClusterSpec) -> str:
    machine = wanted.machine
    workers = _span(wanted.fewest_workers, wanted.workers, "worker")
    nodes = _span(wanted.min_nodes, wanted.max_nodes, "node")
    return f"{workers} with one {wanted.gpu} each, {machine.gpus} to a node: {nodes}."


def _span(least: int, most: int, what: str) -> str:
    return count(most, what) if least == most else f"{least} to {count(most, what)}"


def _docker(wanted: ClusterSpec) -> dict[str, Any]:
    environment = {"RAY_AUTH_MODE": "token"}
    if wanted.interface:  # else the workers take the card with the cluster's addresses
        environment["NCCL_SOCKET_IFNAME"] = wanted.interface
        environment["GLOO_SOCKET_IFNAME"] = wanted.interface
    options = [f"-e {name}={value}" for name, value in environment.items()]
    options.append("--ulimit nofile=65536:65536")
    if wanted.shared:
        options.append(f"-v {MOUNT}:{MOUNT}")
    return {
        "image": Noted(wanted.image, "Built from cluster/Dockerfile; Ray and Python are pinned."),
        "container_name": "mimic-ray",
        "pull_before_run": True,
        "run_options": options,
        "worker_run_options": Noted(
            [f"--shm-size={wanted.shm_gib}g"], "Ray's object store and PyTorch's shared tensors."
        ),
    }


def _initialisation(wanted: ClusterSpec) -> list[str]:
    commands = ["sudo usermod -aG docker $USER"]
    if wanted.shared:
        commands += [
            "command -v mount.nfs4 || (sudo apt-get update && sudo apt-get install -y nfs-common)",
            f"sudo mkdir -p {MOUNT} && (mountpoint -q {MOUNT} || "
            f"sudo mount -t nfs4 -o hard,noresvport {wanted.shared} {MOUNT})",
        ]
    return commands


_WAIT_FOR_DRIVER = "timeout 600 bash -c 'until nvidia-smi; do sleep 5; done'"


def _provider(wanted: ClusterSpec) -> dict[str, Any]:
    region, zone = wanted.resolved_region, wanted.resolved_zone
    provider: dict[str, Any] = {"type": wanted.provider, "region": region}
    if zone:
        provider["availability_zone"] = zone
    if wanted.provider == "gcp":
        provider["project_id"] = wanted.project
    provider["cache_stopped_nodes"] = Noted(False, "End machines, do not keep them stopped.")
    return provider


def _aws_node(wanted: ClusterSpec, machine: Machine) -> dict[str, Any]:
    node: dict[str, Any] = {
        "InstanceType": machine.name,
        "ImageId": Noted(
            wanted.machine_image or _AWS_IMAGE,
            "Ray's own default has a driver of 2022, too old for CUDA 13.",
        ),
        "IamInstanceProfile": {"Name": wanted.worker_role if machine.gpus else wanted.head_role},
        "MetadataOptions": Noted(
            {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
            "Version 2 of the metadata service only, and no further than the machine itself.",
        ),
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/sda1",
                "Ebs": {
                    "VolumeSize": wanted.disk,
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
    }
    if wanted.subnet:
        node["SubnetIds"] = [wanted.subnet]
    if wanted.security_group:
        node["SecurityGroupIds"] = [wanted.security_group]
    if wanted.spot and machine.gpus:
        node["InstanceMarketOptions"] = {"MarketType": "spot"}
    return node


def _gcp_node(wanted: ClusterSpec, machine: Machine) -> dict[str, Any]:
    node: dict[str, Any] = {
        "machineType": machine.name,
        "disks": [
            {
                "boot": True,
                "autoDelete": True,
                "type": "PERSISTENT",
                "initializeParams": {
                    "diskSizeGb": wanted.disk,
                    "sourceImage": wanted.machine_image or _GCP_IMAGE,
                },
            }
        ],
        "serviceAccounts": [
            {
                "email": f"{wanted.worker_role if machine.gpus else wanted.head_role}"
                f"@{wanted.project}.iam.gserviceaccount.com",
                "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            }
        ],
    }
    if wanted.subnet:
        node["networkInterfaces"] = [
            {
                "subnetwork": wanted.subnet,
                "accessConfigs": [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}],
            }
        ]
    if machine.accelerator:
        node["guestAccelerators"] = [
            {"acceleratorType": machine.accelerator, "acceleratorCount": machine.gpus}
        ]
    if machine.gpus:
        node["metadata"] = {"items": [{"key": "install-nvidia-driver", "value": "True"}]}
        node["scheduling"] = {"onHostMaintenance": "TERMINATE", "automaticRestart": False}
        if wanted.spot:
            node["scheduling"] |= {
                "provisioningModel": "SPOT",
                "instanceTerminationAction": "DELETE",
            }
    return node
