from __future__ import annotations

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.cli.app import main
from mimic_ray.cluster_files.cluster_spec import ClusterSpec


@pytest.mark.parametrize(
    ("workers", "least", "per_node", "nodes"),
    [
        (8, 0, None, (0, 1)),  # a g6.48xlarge has 8
        (9, 1, None, (1, 2)),
        (9, 9, 4, (3, 3)),
        (3, 2, 1, (2, 3)),
        (2, 0, None, (0, 1)),  # a g6.12xlarge has 4
        (9, None, 4, (3, 3)),  # by default all workers always run
    ],
)
def test_workers_are_distributed_over_nodes(workers, least, per_node, nodes):
    spec = ClusterSpec("aws", "l4", workers, min_workers=least, gpus_per_node=per_node)
    assert (spec.min_nodes, spec.max_nodes) == nodes


def test_the_object_store_fits_in_shared_memory():
    assert ClusterSpec("aws", "l4", 8, shm=6).object_store_bytes == 3 << 30
    assert ClusterSpec("aws", "l4", 8).shm_gib == 64


def test_region_and_zone_follow_from_each_other():
    gcp = ClusterSpec("gcp", "l4", project="p", zone="europe-west4-b")
    assert (gcp.resolved_region, gcp.resolved_zone) == ("europe-west4", "europe-west4-b")
    assert ClusterSpec("gcp", "l4", project="p").resolved_zone == "us-central1-a"
    assert ClusterSpec("aws", "l4").resolved_zone == ""


def test_the_default_job_is_a_valid_purify_command(capsys):
    words = ClusterSpec("kuberay", "t4", 6, kind="rayjob").entrypoint.split()
    # An unknown option would be reported before an invalid value.
    with pytest.raises(SystemExit) as ended:
        main([*words[1:], "--seed", "seven"])
    assert ended.value.code == 2
    assert "Invalid value for '--seed'" in capsys.readouterr().err


def test_a_job_is_quoted_for_the_shell():
    job = ("evaluate", "a b.pth", "--address", "x")
    spec = ClusterSpec("kuberay", "t4", 1, kind="rayjob", job=job)
    assert spec.entrypoint == "mimic-ray evaluate 'a b.pth' --address x"


@pytest.mark.parametrize(
    ("job", "fewest", "end"),
    [
        (("tune",), None, "tune --address auto"),
        (("tune", "--address=x"), None, "tune --address=x"),
        (("tune",), 1, "tune --address auto --wait-for-capacity 3600"),
        (("tune", "--wait-for-capacity=9"), 1, "tune --wait-for-capacity=9 --address auto"),
        (("bench", "scaling"), 1, "bench scaling --address auto"),
        (("evaluate", "a"), 1, "evaluate a"),
    ],
)
def test_a_job_gets_the_cluster_and_the_time_to_wait_where_it_takes_them(job, fewest, end):
    spec = ClusterSpec("kuberay", "t4", 4, kind="rayjob", min_workers=fewest, job=job)
    assert spec.entrypoint == f"mimic-ray {end}"


@pytest.mark.parametrize(
    ("settings", "region", "zone"),
    [
        ({"provider": "aws", "zone": "eu-west-1a"}, "eu-west-1", "eu-west-1a"),
        ({"provider": "aws", "region": "eu-west-1"}, "eu-west-1", ""),
        ({"provider": "gcp", "project": "p"}, "us-central1", "us-central1-a"),
        ({"provider": "gcp", "project": "p", "region": "us-east1"}, "us-east1", "us-east1-b"),
    ],
)
def test_a_region_or_a_zone_alone_gives_the_other(settings, region, zone):
    spec = ClusterSpec(gpu="t4", **settings)
    assert (spec.resolved_region, spec.resolved_zone) == (region, zone)


def test_a_zone_of_another_region_is_refused():
    with pytest.raises(UsageError, match="zone=eu-west-1a is not in region=us-west-2"):
        ClusterSpec("aws", "t4", region="us-west-2", zone="eu-west-1a")


def test_volta_needs_an_image_with_an_older_cuda():
    with pytest.raises(UsageError, match="CUDA 13"):
        ClusterSpec("gcp", "v100", project="p")
    spec = ClusterSpec("gcp", "v100", 1, image="me/x:1", project="p")
    assert spec.machine.accelerator == "nvidia-tesla-v100"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workers": 0}, "workers=0 must be at least 1"),
        ({"min_workers": 9}, "min_workers=9 must be between 0 and workers=8"),
        ({"gpus_per_node": 3}, "1, 4, 8"),
        ({"disk": 0}, "disk=0"),
        ({"shm": -1}, "shm=-1"),
        ({"kind": "rayjob"}, "kind= applies to kuberay, not to aws"),
        ({"project": "mine"}, "project= applies to gcp, not to aws"),
        ({"provider": "kuberay", "disk": 10}, "disk= applies to aws and gcp, not to kuberay"),
        ({"provider": "gcp", "project": "p", "security_group": "sg"}, "security_group= applies"),
        ({"provider": "gcp"}, "Set project= to the ID of your GCP project"),
        ({"provider": "kuberay", "job": ("purify",)}, "kind=rayjob"),
        ({"name": "Alpha"}, "lower-case letters"),
        ({"interface": "eth0; reboot"}, "interface="),
        ({"shared": "h:/x; reboot"}, "HOST:/EXPORT"),
        ({"provider": "kuberay", "shared": "h:/x"}, "PersistentVolumeClaim"),
        ({"region": "a\nb: c"}, "region= .* has a control character"),
        ({"provider": "awz"}, "Did you mean aws"),
        ({"provider": "kuberay", "kind": "rayjobs"}, "Did you mean rayjob"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(change, words):
    with pytest.raises(UsageError, match=words):
        ClusterSpec(**{"provider": "aws", "gpu": "l4", "workers": 8} | change)
