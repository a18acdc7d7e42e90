"""The cluster that an address means, with real ports and nothing of Ray."""

from __future__ import annotations

import socket
import time

import pytest

from mimic_ray.base.errors import ResourceError, UsageError
from mimic_ray.distributed import cluster_address, ray_private_node
from mimic_ray.distributed.cluster_address import find_cluster


@pytest.fixture
def head():
    """HOST:PORT that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def gone():
    """HOST:PORT that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def _no_ray_here(monkeypatch):
    monkeypatch.setattr(ray_private_node, "running_clusters", lambda: set())


def last_started(address, folder):
    (folder / "ray").mkdir(exist_ok=True)
    (folder / "ray" / "ray_current_cluster").write_text(f"{address}\n")
    return {"TMPDIR": str(folder)}


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_is_used_whatever_the_environment_says(head, gone, prefix):
    found = find_cluster(prefix + head, {"RAY_ADDRESS": gone})
    assert str(found) == prefix + head


def test_auto_is_the_variable_then_the_last_start_then_what_runs(head, gone, tmp_path, monkeypatch):
    named = {"RAY_ADDRESS": head, **last_started(gone, tmp_path)}
    assert str(find_cluster("auto", named)) == f"{head} (from RAY_ADDRESS)"
    started = last_started(head, tmp_path)
    assert str(find_cluster("auto", started)) == f"{head} (the last `ray start` on this machine)"
    monkeypatch.setattr(ray_private_node, "running_clusters", lambda: {head})
    assert str(find_cluster("auto", {"TMPDIR": "/nowhere"})) == f"{head} (the Ray on this machine)"


def test_a_left_over_variable_is_named_with_the_way_out(gone):
    with pytest.raises(ResourceError) as refused:
        find_cluster("auto", {"RAY_ADDRESS": gone})
    assert f"{gone} (from RAY_ADDRESS): connection refused" in refused.value.message
    assert "If RAY_ADDRESS is left over from another cluster, unset it." in refused.value.message


def test_a_wrong_address_does_not_blame_the_variable(gone):
    with pytest.raises(ResourceError, match=f"answers at {gone}: .*without address=") as refused:
        find_cluster(gone, {"RAY_ADDRESS": gone})
    assert "RAY_ADDRESS" not in refused.value.message


def test_a_silent_host_is_found_in_two_seconds(monkeypatch):
    asked = []

    def no_answer(place, timeout):
        asked.append((place, timeout))
        raise TimeoutError

    monkeypatch.setattr(cluster_address.socket, "create_connection", no_answer)
    with pytest.raises(ResourceError, match="no answer within 2 s"):
        find_cluster("[fe80::1]:6379", {})
    assert asked == [(("fe80::1", 6379), 2.0)]


def test_no_cluster_at_all_is_one_sentence():
    start = time.monotonic()
    with pytest.raises(ResourceError, match="found no Ray cluster: RAY_ADDRESS is not set"):
        find_cluster("auto", {"TMPDIR": "/nowhere"})
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("wrong", ["head", "head:", ":6379", "http://head:8265/x", "h:99999", ""])
def test_what_is_no_address_of_a_cluster_is_refused(wrong):
    with pytest.raises(UsageError, match="HOST:PORT of its head"):
        find_cluster(wrong, {})
