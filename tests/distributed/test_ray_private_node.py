"""Each item of ray_private_node.py works with the installed Ray."""

from __future__ import annotations

import inspect
import os
import subprocess

import pytest

from mimic_ray.distributed import ray_private_node


def test_the_files_of_ray_that_name_a_cluster_are_where_we_look(monkeypatch, tmp_path):
    from ray._common import utils

    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    for variables in ({}, {"TMPDIR": "/a"}, {"TMPDIR": "/a", "RAY_TMPDIR": str(tmp_path)}):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        folder = ray_private_node.session_folder(os.environ)
        assert str(folder) == utils.get_default_ray_temp_dir()
        assert str(folder / "ray_current_cluster") == utils.get_ray_address_file(None)
    assert ray_private_node.last_started_cluster(os.environ) == ""


def test_a_raylet_tells_the_cluster_it_belongs_to(tmp_path):
    from ray._private import services

    assert "--gcs-address={gcs_address}" in inspect.getsource(services.start_raylet)
    for pid, words in {
        "10": ["/x/ray/core/src/ray/raylet/raylet", "--a=1", "--gcs-address=10.0.0.1:6379"],
        "11": ["vim", "--gcs-address=10.0.0.2:6379"],
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes("\0".join(words).encode())
    assert ray_private_node.running_clusters(tmp_path) == {"10.0.0.1:6379"}


DECLARED = """
head_node_type: head
max_workers: 3
available_node_types:
  head: {resources: {CPU: 0}}
  worker: {resources: {CPU: 8, GPU: 4}, min_workers: 0, max_workers: 5}
"""


def test_the_autoscaler_on_the_head_has_the_declared_nodes(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(DECLARED)
    words = ["python", "monitor.py", f"--autoscaling-config={file}", "--gcs-address=10.0.0.1:6379"]
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes("\0".join(words).encode())
    found = ray_private_node.declared_nodes("10.0.0.1:6379", tmp_path)
    assert found == [{"CPU": 0.0}, *[{"CPU": 8.0, "GPU": 4.0}] * 3]
    assert ray_private_node.declared_nodes("10.0.0.2:6379", tmp_path) is None
    file.write_text(DECLARED.replace("{CPU: 8, GPU: 4}", "{}"))  # found out by the node itself
    assert ray_private_node.declared_nodes("10.0.0.1:6379", tmp_path) is None


def test_ray_starts_its_autoscaler_with_these_options():
    from ray._private import services

    source = inspect.getsource(services.start_monitor)
    assert '"--autoscaling-config="' in source
    assert 'f"--gcs-address={gcs_address}"' in source


def test_a_slow_node_has_more_time_than_ray_gives_it(monkeypatch):
    from ray._private import node, services

    source = inspect.getsource(node.Node.__init__)
    assert "ray._private.services.get_node(" in source
    assert "except RuntimeError" in source
    answers = iter([RuntimeError("not yet"), RuntimeError("not yet"), "the node"])

    def get_node(*_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(ray_private_node, "_raylet_runs", lambda _: True)
    with ray_private_node.start_within(60):
        assert services.get_node("10.0.0.1:6379", "id") == "the node"
    assert services.get_node is get_node


@pytest.mark.parametrize(("runs", "limit_s", "slow"), [(True, 0.0, True), (False, 60.0, False)])
def test_a_node_that_is_too_slow_or_ended_is_given_up(monkeypatch, runs, limit_s, slow):
    from ray._private import services

    def get_node(*_):
        raise RuntimeError("not yet")

    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(ray_private_node, "_raylet_runs", lambda _: runs)
    started = []

    def start():
        with ray_private_node.start_within(limit_s):
            started.append(subprocess.Popen(["sleep", "60"]))
            services.get_node("10.0.0.1:6379", "id")

    with pytest.raises(ConnectionError) as caught:
        start()
    assert ray_private_node.start_was_too_slow(caught.value) == slow
    assert started[0].wait(5) < 0  # what was started is ended
