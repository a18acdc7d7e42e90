"""RayCluster or RayJob of KubeRay, and the NetworkPolicy beside it.

The dashboard of a pod cannot listen on its loopback only (the operator and the service reach it
over the network), so here the policy keeps strangers out and the token everybody else.
"""

from __future__ import annotations

import shlex
from typing import Any

from mimic_ray.cluster_files import versions
from mimic_ray.cluster_files.cluster_spec import ClusterSpec
from mimic_ray.cluster_files.yaml_writer import Noted

API = "ray.io/v1"
PART_OF = "mimic-ray/cluster"  # label of every Ray pod of ours
CLIENT = "mimic-ray/client"  # label of pods that may submit jobs
DATA = "/data"

_POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 100,
    "fsGroup": 100,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def documents(wanted: ClusterSpec) -> list[dict[str, Any]]:
    """The cluster or the job, then its policy."""
    if wanted.is_job:
        return [_job(wanted), _policy(wanted)]
    cluster = {
        "apiVersion": API,
        "kind": "RayCluster",
        "metadata": _metadata(wanted),
        "spec": _cluster(wanted),
    }
    return [cluster, _policy(wanted)]


def default_job(wanted: ClusterSpec) -> tuple[str, ...]:
    """The command of a job that was given none."""
    return (
        *("purify", "--encoder", "vit_b16", "--teacher", f"{DATA}/teacher.pth"),
        *("--data", f"{DATA}/images", "--out", f"{DATA}/runs/{wanted.name}"),
        *("--workers", str(wanted.workers), "--gpus-per-worker", "1"),
    )


def _job(wanted: ClusterSpec) -> dict[str, Any]:
    command = wanted.job or default_job(wanted)
    address = () if "--address" in command else ("--address", "auto")
    return {
        "apiVersion": API,
        "kind": "RayJob",
        "metadata": _metadata(wanted),
        "spec": {
            "entrypoint": shlex.join(("mimic-ray", *command, *address)),
            "submissionMode": "K8sJobMode",
            "backoffLimit": Noted(
                0,
                "A failed job is not run again on a new cluster: look at its log, then apply "
                "the same file with --resume in the entrypoint.",
            ),
            "submitterConfig": {"backoffLimit": 2},
            "preRunningDeadlineSeconds": Noted(
                3600, "No GPUs within an hour: give up, and keep nothing waiting."
            ),
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": Noted(600, "Time to read the logs of the cluster."),
            "suspend": False,
            "rayClusterSpec": _cluster(wanted),
        },
    }


def _cluster(wanted: ClusterSpec) -> dict[str, Any]:
    return {
        "rayVersion": versions.RAY,
        "authOptions": Noted(
            {"mode": "token", "secretName": wanted.token_secret},
            f"kubectl create secret generic {wanted.token_secret} "
            f"--from-file=auth_token={wanted.token_file.replace('~', '$HOME', 1)}",
        ),
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "upscalingMode": "Default",
            "idleTimeoutSeconds": 600,
            "resources": _resources("500m", "1Gi"),
            "securityContext": _SECURITY,
        },
        "headGroupSpec": {
            "rayStartParams": Noted(
                {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
                "Nothing is scheduled on the head; the NetworkPolicy below hides its dashboard.",
            ),
            "template": _pod(wanted, "ray-head", _resources("4", "16Gi"), 4),
        },
        "workerGroupSpecs": [_workers(wanted)],
    }


def _workers(wanted: ClusterSpec) -> dict[str, Any]:
    machine = wanted.machine
    resources = _resources(str(machine.cpus), f"{machine.memory}Gi", machine.gpus)
    template = _pod(wanted, "ray-worker", resources, wanted.shm_gib)
    selector = dict(wanted.node_selector) or {"nvidia.com/gpu.product": machine.name}
    if wanted.spot:
        template["spec"]["terminationGracePeriodSeconds"] = Noted(
            120, "A spot node's warning is enough to commit a checkpoint."
        )
    template["spec"]["nodeSelector"] = Noted(
        selector,
        "NVIDIA's feature discovery sets it; GKE has cloud.google.com/gke-accelerator.",
    )
    template["spec"]["tolerations"] = [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    if wanted.spot:
        template["spec"]["tolerations"] += [
            {"key": key, "operator": "Exists", "effect": "NoSchedule"}
            for key in ("cloud.google.com/gke-spot", "karpenter.sh/disruption", "spot")
        ]
    return {
        "groupName": "gpu",
        "replicas": wanted.min_nodes,
        "minReplicas": wanted.min_nodes,
        "maxReplicas": wanted.max_nodes,
        "rayStartParams": {"object-store-memory": str(wanted.object_store_bytes)},
        "template": template,
    }


def _pod(
    wanted: ClusterSpec, container: str, resources: dict[str, Any], shm: int
) -> dict[str, Any]:
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]
    volumes: list[dict[str, Any]] = [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm}Gi"}}
    ]
    if wanted.shared or wanted.is_job:
        mounts.append({"name": "data", "mountPath": DATA})
        claim = wanted.shared or f"{wanted.name}-data"
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
    made: dict[str, Any] = {"name": container, "image": wanted.image}
    if wanted.interface:
        made["env"] = [
            {"name": name, "value": wanted.interface}
            for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")
        ]
    made |= {"resources": resources, "securityContext": _SECURITY, "volumeMounts": mounts}
    if container == "ray-head":
        made["ports"] = [
            {"name": name, "containerPort": port}
            for name, port in (("gcs-server", 6379), ("dashboard", 8265), ("client", 10001))
        ]
    return {
        "metadata": {"labels": {PART_OF: wanted.name}},
        "spec": {
            "automountServiceAccountToken": Noted(
                container == "ray-head", "The head's autoscaler asks Kubernetes for pods."
            )
            if container == "ray-head"
            else False,
            "securityContext": _POD_SECURITY,
            "containers": [made],
            "volumes": volumes,
        },
    }


def _resources(cpu: str, memory: str, gpus: int = 0) -> dict[str, Any]:
    """Requests equal limits: the pod is never killed for what a neighbour takes."""
    amount: dict[str, Any] = {"cpu": cpu, "memory": memory}
    if gpus:
        amount["nvidia.com/gpu"] = gpus
    return {"requests": dict(amount), "limits": dict(amount)}


def _metadata(wanted: ClusterSpec) -> dict[str, Any]:
    return {"name": wanted.name, "labels": {PART_OF: wanted.name}}


def _policy(wanted: ClusterSpec) -> dict[str, Any]:
    clients: list[dict[str, Any]] = [{"podSelector": {"matchLabels": {CLIENT: "true"}}}]
    if wanted.is_job:
        clients.append(
            {
                "podSelector": {
                    "matchLabels": {
                        "ray.io/originated-from-crd": "RayJob",
                        "ray.io/originated-from-cr-name": wanted.name,
                    }
                }
            }
        )
    clients.append(
        {
            "namespaceSelector": {},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}},
        }
    )
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(wanted),
        "spec": {
            "podSelector": {"matchLabels": {PART_OF: wanted.name}},
            "policyTypes": ["Ingress"],
            "ingress": [
                Noted(
                    {"from": [{"podSelector": {"matchLabels": {PART_OF: wanted.name}}}]},
                    "Ray's pods among themselves, any port.",
                ),
                Noted(
                    {"from": clients, "ports": [{"protocol": "TCP", "port": 8265}]},
                    f"Jobs and dashboard: the operator, and pods of this namespace labelled "
                    f'{CLIENT}: "true". You come in through kubectl port-forward.',
                ),
            ],
        },
    }
