"""From what a user wants to a file: nodes, spot, storage, names, and the text itself."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.cli.app import main
from mimic_ray.cluster_files import kuberay, machines, ray_up
from mimic_ray.cluster_files.cluster_spec import PROVIDERS, ClusterSpec
from mimic_ray.cluster_files.render import command, render
from mimic_ray.cluster_files.validate import validate
from mimic_ray.cluster_files.yaml_writer import Noted, plain, yaml_text

EVERY = [
    (provider, gpu, spot)
    for provider, table in machines.CLOUDS.items()
    for gpu in table
    if gpu not in machines.TOO_OLD
    for spot in (False, True)
]

REQUIRED = {"gcp": {"project": "my-project"}}


def documents(wanted: ClusterSpec) -> list[dict]:
    return list(yaml.safe_load_all(render(wanted)))


@pytest.mark.parametrize(("provider", "gpu", "spot"), EVERY)
def test_every_gpu_of_every_cloud_gives_a_sound_file(tmp_path, provider, gpu, spot):
    wanted = ClusterSpec(provider, gpu, 3, spot=spot, **REQUIRED.get(provider, {}))
    (tmp_path / "x.yaml").write_text(render(wanted))
    assert [f for f in validate(tmp_path / "x.yaml") if f.level != "note"] == []


def test_the_list_of_cases_is_not_short():
    assert {provider for provider, _, _ in EVERY} == set(PROVIDERS)
    assert len(EVERY) >= 40


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_text_reads_back_as_the_document(provider):
    wanted = ClusterSpec(provider, "l4", 9, spot=True, min_workers=2, **REQUIRED.get(provider, {}))
    maker = kuberay if provider == "kuberay" else ray_up
    assert documents(wanted) == [plain(document) for document in maker.documents(wanted)]


@pytest.mark.parametrize(
    ("workers", "least", "per_node", "nodes"),
    [
        (8, 0, None, (0, 1)),  # g6.48xlarge has 8
        (9, 1, None, (1, 2)),
        (9, 9, 4, (3, 3)),
        (3, 2, 1, (2, 3)),
        (2, 0, None, (0, 1)),  # the 4 of a g6.12xlarge
    ],
)
def test_workers_are_shared_out_over_nodes(workers, least, per_node, nodes):
    wanted = ClusterSpec("aws", "l4", workers, min_workers=least, gpus_per_node=per_node)
    (document,) = documents(wanted)
    group = document["available_node_types"]["gpu"]
    assert (group["min_workers"], group["max_workers"]) == nodes
    assert group["max_workers"] == document["max_workers"]
    assert group["resources"]["GPU"] * nodes[1] >= workers


def test_the_head_takes_no_work_and_no_gpu():
    for provider in ("aws", "gcp"):
        (document,) = documents(ClusterSpec(provider, "l4", **REQUIRED.get(provider, {})))
        head = document["available_node_types"][document["head_node_type"]]
        assert head["resources"] == {"CPU": 0}
        assert "--num-cpus=0" in document["head_start_ray_commands"][-1]
    cluster = documents(ClusterSpec("kuberay", "l4"))[0]["spec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_only_gpu_nodes_are_spot():
    (aws,), (gcp,) = (
        documents(ClusterSpec(cloud, "l4", spot=True, **REQUIRED.get(cloud, {})))
        for cloud in ("aws", "gcp")
    )
    types = aws["available_node_types"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    types = gcp["available_node_types"]
    assert types["gpu"]["node_config"]["scheduling"]["provisioningModel"] == "SPOT"
    assert "scheduling" not in types["head"]["node_config"]
    (on_demand,) = documents(ClusterSpec("aws", "l4"))
    assert "Spot" not in yaml.safe_dump(on_demand)


def test_a_rayjob_starts_with_all_its_workers_since_purify_asks_for_them_at_once():
    job, policy = documents(ClusterSpec("kuberay", "t4", 6, kind="rayjob"))
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == group["maxReplicas"] == 1
    assert "--workers 6 --gpus-per-worker 1 --address auto" in job["spec"]["entrypoint"]
    assert policy["kind"] == "NetworkPolicy"


def test_the_default_job_is_a_command_line_that_purify_takes(capsys):
    words = kuberay.default_job(ClusterSpec("kuberay", "t4", 6))
    # An unknown option would be named before a value that is no number.
    with pytest.raises(SystemExit) as ended:
        main([*words, "--address", "auto", "--seed", "seven"])
    assert ended.value.code == 2
    assert "Invalid value for '--seed'" in capsys.readouterr().err


def test_a_job_of_ones_own_is_quoted_for_the_shell():
    wanted = ClusterSpec(
        "kuberay", "t4", 1, kind="rayjob", job=("evaluate", "a b.pth", "--address", "x")
    )
    entrypoint = documents(wanted)[0]["spec"]["entrypoint"]
    assert entrypoint == "mimic-ray evaluate 'a b.pth' --address x"


def test_pods_request_what_they_are_limited_to_and_run_as_no_root():
    cluster = documents(ClusterSpec("kuberay", "h100", 8))[0]["spec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in spec["containers"]:
            assert container["resources"]["requests"] == container["resources"]["limits"]
        (shm,) = [volume for volume in spec["volumes"] if volume["name"] == "shm"]
        assert shm["emptyDir"]["medium"] == "Memory"


def test_the_policy_selects_the_pods_of_head_and_workers_and_nothing_else():
    cluster, policy = documents(ClusterSpec("kuberay", "h100", 8, name="alpha"))
    wanted = policy["spec"]["podSelector"]["matchLabels"]
    spec = cluster["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert wanted.items() <= group["template"]["metadata"]["labels"].items()
    for rule in policy["spec"]["ingress"]:
        inside = rule["from"] == [{"podSelector": {"matchLabels": wanted}}]
        assert inside or rule["ports"] == [{"protocol": "TCP", "port": 8265}]


def test_the_object_store_fits_the_shared_memory():
    (document,) = documents(ClusterSpec("aws", "l4", 8, shm=6))
    assert document["docker"]["worker_run_options"] == ["--shm-size=6g"]
    start = document["worker_start_ray_commands"][-1]
    assert int(start.partition("--object-store-memory=")[2]) == 3 << 30


def test_shared_storage_is_mounted_on_the_host_and_in_the_container():
    (document,) = documents(ClusterSpec("aws", "l4", 8, shared="10.0.0.7:/export"))
    mount = document["initialization_commands"][-1]
    assert "10.0.0.7:/export /mnt/shared" in mount
    assert "-v /mnt/shared:/mnt/shared" in document["docker"]["run_options"]
    cluster = documents(ClusterSpec("kuberay", "l4", 8, shared="images"))[0]["spec"]
    spec = cluster["workerGroupSpecs"][0]["template"]["spec"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "images"}} in spec["volumes"]


@pytest.mark.parametrize(
    "wanted",
    [
        ClusterSpec("aws", "l4", 9, spot=True, min_workers=1, region="eu-west-1", disk=500),
        ClusterSpec(
            "gcp",
            "t4",
            2,
            gpus_per_node=1,
            zone="europe-west4-a",
            head_role="a-head",
            worker_role="b-work",
            project="my-project",
        ),
        ClusterSpec("kuberay", "h100", 4, kind="rayjob", node_selector=(("gpu", "h100"),), shm=3),
        ClusterSpec("kuberay", "h100", 4, kind="rayjob", job=("bench", "scaling", "--steps", "3")),
    ],
)
def test_the_command_in_the_first_line_writes_the_same_file(capsys, wanted):
    text = render(wanted)
    words = command(wanted)
    assert text.startswith(f"# Written by: {' '.join(words)}\n")
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    assert ended.value.code == 0
    assert capsys.readouterr().out == text


def test_a_gpu_that_the_cloud_lacks_is_said_with_those_it_has():
    with pytest.raises(UnknownNameError, match=r"GCP has t4.*h200") as caught:
        ClusterSpec("gcp", "a10g", project="p")
    assert caught.value.kind == "gpu"
    with pytest.raises(UnknownNameError, match="Did you mean a10g or a100 or"):
        ClusterSpec("aws", "a10")


def test_a_card_without_kernels_in_the_image_needs_an_image_of_ones_own():
    with pytest.raises(UsageError, match="CUDA 13"):
        ClusterSpec("gcp", "v100", project="p")
    assert (
        ClusterSpec("gcp", "v100", 1, image="me/x:1", project="p").machine.accelerator
        == "nvidia-tesla-v100"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workers": 0}, "workers=0"),
        ({"min_workers": 9}, "min_workers=9"),
        ({"gpus_per_node": 3}, "1, 4, 8"),
        ({"kind": "rayjob"}, "kind= applies to kuberay, not to aws"),
        ({"project": "mine"}, "project= applies to gcp, not to aws"),
        ({"provider": "kuberay", "disk": 10}, "disk= applies to aws and gcp, not to kuberay"),
        ({"provider": "gcp", "project": "p", "security_group": "sg"}, "security_group= applies"),
        ({"provider": "kuberay", "head_role": "a"}, "head_role= applies to aws and gcp"),
        ({"provider": "kuberay", "job": ("purify",)}, "kind=rayjob"),
        ({"interface": "eth0; reboot"}, "interface="),
        ({"name": "Alpha"}, "Alpha"),
        ({"name": "a; rm -rf"}, "lower-case"),
        ({"shared": "/export"}, "HOST:/EXPORT"),
        ({"shared": "h:/x; reboot"}, "HOST:/EXPORT"),
        ({"shm": -1}, "shm=-1"),
        ({"disk": 0}, "disk=0"),
        ({"provider": "gcp"}, "Set project= to the ID"),
        ({"region": "a\nb: c"}, "control character"),
        ({"provider": "awz"}, "Did you mean aws"),
        ({"provider": "kuberay", "kind": "rayjobs"}, "Did you mean rayjob"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(UsageError, match=words):
        ClusterSpec(**{"provider": "aws", "gpu": "l4", "workers": 8} | change)


def test_comments_are_no_part_of_a_document():
    text = yaml_text([{"a": Noted([1, Noted({"b": "x: y"}, "why\nso")], "long " * 40)}], "head")
    assert yaml.safe_load(text) == {"a": [1, {"b": "x: y"}]}
    assert text.count("#") == 6  # the header, three lines of the long one, why, so
    assert max(map(len, text.splitlines())) <= 98


@pytest.mark.parametrize("value", ["yes", "1", "null", "a: b", "# x", "", "'", "- x", 1, 1.5, True])
def test_every_scalar_reads_back_as_itself(value):
    text = yaml_text([{"key": value, "list": [value]}], "x")
    assert yaml.safe_load(text) == {"key": value, "list": [value]}


def test_every_field_of_the_wish_can_be_given_on_the_command_line(capsys):
    with pytest.raises(SystemExit):
        main(["cluster", "render", "--help"])
    said = capsys.readouterr().out
    names = {field.name.replace("_", "-") for field in dataclasses.fields(ClusterSpec)}
    for name in names - {"job"}:
        assert f"--{name}" in said, name
