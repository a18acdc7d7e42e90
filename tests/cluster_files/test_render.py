"""The rendered templates for given settings, and hostile values that must not break the YAML."""

from __future__ import annotations

import shlex

import pytest
import yaml

from mimic_ray.cluster_files import machines
from mimic_ray.cluster_files.cluster_spec import PROVIDERS, ClusterSpec
from mimic_ray.cluster_files.render import render, render_command, yaml_scalar
from mimic_ray.cluster_files.validate import validate
from tests.cluster_files.cluster_examples import FILES, FOLDER

REQUIRED = {"aws": {}, "gcp": {"project": "my-project"}, "kuberay": {}}
OWN_IMAGE = "ghcr.io/me/mimic-ray:1"
ALL_GPUS = [(provider, gpu) for provider in PROVIDERS for gpu in machines.CLOUDS[provider]]
HOSTILE = ["a: b", "x\\y # z", "'", '"', "- x", "{{ spec.name }}", "%{}[],&*!|>@`", "ä ü", "yes"]


def documents(provider: str, gpu: str = "l4", workers: int = 8, **settings) -> list[dict]:
    """The rendered documents for these settings."""
    spec = ClusterSpec(provider, gpu, workers, **REQUIRED[provider] | settings)
    return list(yaml.safe_load_all(render(spec)))


def pod_specs(cluster: dict) -> list[dict]:
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_repository_equals_its_rendered_settings(name):
    assert (FOLDER / name).read_text() == render(FILES[name])


def test_the_repository_has_no_other_cluster_files():
    names = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert names == {*FILES, "Dockerfile", "Dockerfile.dockerignore"}


@pytest.mark.parametrize(("provider", "gpu"), ALL_GPUS)
def test_every_gpu_of_every_provider_gives_a_file_without_problems(tmp_path, provider, gpu):
    settings = {**REQUIRED[provider], "image": OWN_IMAGE, "spot": True}
    (tmp_path / "x.yaml").write_text(render(ClusterSpec(provider, gpu, 3, **settings)))
    assert validate(tmp_path / "x.yaml") == []


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_of_a_user_reads_back_unchanged(value):
    """It neither breaks the file nor adds a key to it."""
    (aws,) = documents("aws", image=value, head_role=value, machine_image=value, subnet=value)
    head = aws["available_node_types"]["head"]["node_config"]
    assert (aws["docker"]["image"], head["ImageId"], head["SubnetIds"]) == (value, value, [value])
    assert head["IamInstanceProfile"] == {"Name": value}
    (gcp,) = documents("gcp", head_role=value, token_file=value)
    (account,) = gcp["available_node_types"]["head"]["node_config"]["serviceAccounts"]
    assert account["email"] == f"{value}@my-project.iam.gserviceaccount.com"
    assert gcp["file_mounts"] == {"/home/ray/.ray/auth_token": value}
    job, policy = documents(
        "kuberay",
        kind="rayjob",
        job=("evaluate", value),
        token_secret=value,
        node_selector=((value, value),),
    )
    cluster = {"spec": job["spec"]["rayClusterSpec"]}
    assert shlex.split(job["spec"]["entrypoint"])[:3] == ["mimic-ray", "evaluate", value]
    assert cluster["spec"]["authOptions"] == {"mode": "token", "secretName": value}
    assert pod_specs(cluster)[1]["nodeSelector"] == {value: value}
    assert policy["kind"] == "NetworkPolicy"


@pytest.mark.parametrize("value", [*HOSTILE, "1", "null", "", "a\nb: c", 1, 1.5, True])
def test_a_scalar_is_one_line_that_reads_back_unchanged(value):
    text = yaml_scalar(value)
    assert "\n" not in text
    assert yaml.safe_load(f"list: [{text}, {{key: {text}}}]") == {"list": [value, {"key": value}]}


def test_the_first_line_is_the_command_with_all_settings_that_are_not_defaults():
    job = ("bench", "scaling")
    spec = ClusterSpec("kuberay", "t4", 2, kind="rayjob", node_selector=(("a", "b"),), job=job)
    words = ["mimic-ray", "cluster", "render", "--provider", "kuberay", "--gpu", "t4"]
    words += ["--workers", "2", "--kind", "rayjob", "--node-selector", "a=b", "--", *job]
    assert render_command(spec) == words
    assert render(spec).startswith(f"# Created by: {shlex.join(words)}\n")


def test_the_head_has_no_gpu_and_ray_schedules_nothing_on_it():
    for provider in ("aws", "gcp"):
        (document,) = documents(provider)
        head = document["available_node_types"][document["head_node_type"]]
        assert head["resources"] == {"CPU": 0}
        assert "--num-cpus=0" in document["head_start_ray_commands"][-1]
    cluster = documents("kuberay")[0]["spec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_only_gpu_nodes_are_spot_machines():
    (aws,), (gcp,) = documents("aws", spot=True), documents("gcp", spot=True)
    types = aws["available_node_types"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    types = gcp["available_node_types"]
    assert types["gpu"]["node_config"]["scheduling"]["provisioningModel"] == "SPOT"
    assert "scheduling" not in types["head"]["node_config"]
    assert "spot" not in render(ClusterSpec("aws", "l4"))


def test_a_rayjob_starts_with_all_workers_because_purify_needs_them_at_once():
    job, _ = documents("kuberay", "t4", 6, kind="rayjob")
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == group["maxReplicas"] == 1
    assert "--workers 6 --gpus-per-worker 1 --address auto" in job["spec"]["entrypoint"]


def test_pods_request_their_limits_and_do_not_run_as_root():
    for spec in pod_specs(documents("kuberay", "h100")[0]):
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in spec["containers"]:
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
        (shm,) = [volume for volume in spec["volumes"] if volume["name"] == "shm"]
        assert shm["emptyDir"]["medium"] == "Memory"


def test_the_network_policy_selects_all_pods_and_opens_one_port_to_others():
    cluster, policy = documents("kuberay", "h100", name="alpha")
    selected = policy["spec"]["podSelector"]["matchLabels"]
    spec = cluster["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert selected.items() <= group["template"]["metadata"]["labels"].items()
    for rule in policy["spec"]["ingress"]:
        same_cluster = rule["from"] == [{"podSelector": {"matchLabels": selected}}]
        assert same_cluster or rule["ports"] == [{"protocol": "TCP", "port": 8265}]


def test_shared_storage_is_mounted_on_the_host_and_in_the_container():
    for provider in ("aws", "gcp"):
        (document,) = documents(provider, shared="10.0.0.7:/export")
        assert "10.0.0.7:/export /mnt/shared" in document["initialization_commands"][-1]
        assert "-v /mnt/shared:/mnt/shared" in document["docker"]["run_options"]
    own_commands = document["available_node_types"]["gpu"]["initialization_commands"]
    assert own_commands[:-1] == document["initialization_commands"]
    for spec in pod_specs(documents("kuberay", shared="images")[0]):
        assert {"name": "data", "persistentVolumeClaim": {"claimName": "images"}} in spec["volumes"]
        assert {"name": "data", "mountPath": "/data"} in spec["containers"][0]["volumeMounts"]


def test_workers_have_the_usual_priority():
    (document,) = documents("aws")
    assert "-e RAY_worker_niceness=0" in document["docker"]["run_options"]
    for spec in pod_specs(documents("kuberay")[0]):
        assert {"name": "RAY_worker_niceness", "value": "0"} in spec["containers"][0]["env"]


def test_the_network_interface_reaches_nccl_and_gloo():
    (document,) = documents("aws", interface="ens5")
    assert "-e NCCL_SOCKET_IFNAME=ens5" in document["docker"]["run_options"]
    for spec in pod_specs(documents("kuberay", interface="ens5,ens6")[0]):
        values = {variable["name"]: variable["value"] for variable in spec["containers"][0]["env"]}
        assert values.pop("RAY_worker_niceness") == "0"
        assert values == dict.fromkeys(("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"), "ens5,ens6")
