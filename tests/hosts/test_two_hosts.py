"""A purification on two hosts with a token."""

import json

import pytest

from tests.hosts.conftest import CALM, check_equal
from tests.hosts.network import PRIVATE

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(scope="module")
def two_hosts(site):
    with site("head", "node1") as built:
        yield built


@pytest.fixture(scope="module")
def two_workers(two_hosts):
    """Submitted from a machine outside of the cluster."""
    words = two_hosts.submitted("two", *two_hosts.purify("two", *CALM), workers="2")
    return two_hosts.on("desk", *words)


def test_two_hosts_give_the_student_of_one_machine(two_hosts, two_workers, undisturbed):
    assert two_workers.returncode == 0, two_workers.stderr
    check_equal(two_hosts.run("two"), undisturbed(12, *CALM))
    assert json.loads((two_hosts.run("two") / "run.json").read_text())["workers"] == 2


def test_each_host_decoded_the_images_onto_its_own_disk(two_hosts, two_workers):
    assert two_workers.returncode == 0, two_workers.stderr
    for name in ("head", "node1"):
        cache = two_hosts.network[name].private / "cache"
        assert any(file.is_file() for file in cache.rglob("*")), f"nothing in {PRIVATE}/cache"


def test_without_the_token_the_cluster_refuses(two_hosts):
    words = two_hosts.purify("denied", "--address", two_hosts.ray.address, "--workers", "2")
    done = two_hosts.network["head"].run(
        two_hosts.command(*words), timeout_s=90, environment={"RAY_AUTH_MODE": "disabled"}
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "RAY_AUTH_TOKEN_PATH" in done.stderr
    assert not (two_hosts.run("denied")).exists()
