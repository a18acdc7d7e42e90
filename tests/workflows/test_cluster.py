"""The command for each action on a cluster file, and the checks before it runs."""

from __future__ import annotations

import shlex

import pytest

from mimic_ray.base.errors import ResourceError, UsageError
from mimic_ray.workflows import cluster
from mimic_ray.workflows.cluster import (
    ClusterFileError,
    placeholders,
    plan_action,
    write_cluster_file,
)
from tests.cluster_files import stand_ins
from tests.cluster_files.cluster_examples import AWS, CLUSTER, JOB, edited, without_placeholders

HEAD = "service/mimic-ray-head-svc"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return stand_ins.prepare(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "action", "settings", "command"),
    [
        (AWS, "up", {}, "/bin/ray up /aws.yaml"),
        (AWS, "up", {"yes": True}, "/bin/ray up /aws.yaml --yes"),
        (AWS, "down", {}, "/bin/ray down /aws.yaml"),
        (AWS, "attach", {}, "/bin/ray attach /aws.yaml"),
        (AWS, "attach", {"dashboard": True}, "/bin/ray dashboard /aws.yaml"),
        (CLUSTER, "up", {}, "kubectl apply -f /raycluster.yaml"),
        (CLUSTER, "up", {"namespace": "ml"}, "kubectl --namespace ml apply -f /raycluster.yaml"),
        (CLUSTER, "down", {}, "kubectl delete -f /raycluster.yaml"),
        (CLUSTER, "attach", {"dashboard": True}, f"kubectl port-forward {HEAD} 8265:8265"),
        (CLUSTER, "attach", {}, f"kubectl exec -it {HEAD} -c ray-head -- bash"),
    ],
)
def test_each_action_has_its_command(machine, name, action, settings, command):
    planned = plan_action(action, without_placeholders(machine, name), **settings)
    assert shlex.join(planned.command).replace(str(machine), "") == command
    assert planned.confirms_itself == (name == AWS)


def test_up_needs_the_secret_of_the_file_in_kubernetes(machine, monkeypatch):
    file = without_placeholders(machine, CLUSTER)
    monkeypatch.setenv("SECRET_ERROR", 'Error (NotFound): secrets "mimic-ray-token" not found')
    with pytest.raises(ResourceError, match="kubectl create secret generic mimic-ray-token"):
        plan_action("up", file)
    with pytest.raises(ResourceError, match="has no secret mimic-ray-token"):
        plan_action("up", file, namespace="ml")
    query = stand_ins.SECRET_QUERY
    in_namespace = query.replace("kubectl", "kubectl --namespace ml")
    assert stand_ins.log(machine) == query + in_namespace
    plan_action("up", file, check_secrets=False)
    # `kubectl apply` itself reports any other problem.
    monkeypatch.setenv("SECRET_ERROR", "connection refused")
    plan_action("up", file)
    # A secret of the file itself is created together with the cluster.
    (machine / "log").unlink()
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: mimic-ray-token}\n"
    plan_action("up", without_placeholders(machine, CLUSTER, ("---\n", f"---\n{secret}---\n")))
    assert stand_ins.log(machine) == ""


def test_all_actions_refuse_files_with_errors_and_only_up_refuses_placeholders(machine):
    bad = without_placeholders(machine, AWS, ("ssh_user", "ssh_usr"), ("region:", "regoin:"))
    for action in ("up", "down", "attach"):
        with pytest.raises(ClusterFileError, match=r"\(1 more error\)\. Nothing was changed\."):
            plan_action(action, bad)
    file = edited(machine, AWS)
    with pytest.raises(ClusterFileError, match=r"registry\.example\.com"):
        plan_action("up", file)
    assert plan_action("down", file).command


def test_up_refuses_a_token_file_that_is_missing_or_readable_by_others(machine):
    file = without_placeholders(machine, AWS)
    token = machine / ".ray" / "auth_token"
    token.chmod(0o644)
    with pytest.raises(ResourceError, match=r"chmod 600 ~/\.ray/auth_token"):
        plan_action("up", file)
    token.unlink()
    with pytest.raises(ResourceError, match="ray get-auth-token --generate"):
        plan_action("up", file)


def test_a_missing_package_or_program_is_named(machine, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match="pip install boto3"):
        plan_action("up", without_placeholders(machine, AWS))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ResourceError, match="kubectl is not installed"):
        plan_action("up", without_placeholders(machine, CLUSTER))


def test_an_option_that_does_not_apply_to_the_file_is_a_usage_error(machine):
    with pytest.raises(UsageError, match="namespace= needs a Kubernetes file"):
        plan_action("down", without_placeholders(machine, AWS), namespace="ml")
    with pytest.raises(UsageError, match=r"status\.rayClusterName"):
        plan_action("attach", without_placeholders(machine, JOB))


def test_a_written_file_names_its_placeholders_and_is_not_overwritten(tmp_path):
    file = tmp_path / "x.yaml"
    text = write_cluster_file(file, False, provider="aws", gpu="l4")
    assert file.read_text() == text
    assert placeholders(text) == ["registry.example.com"]
    with pytest.raises(UsageError, match="exists: choose another out="):
        write_cluster_file(file, False, provider="aws", gpu="t4")
    assert write_cluster_file(file, True, provider="aws", gpu="t4") == file.read_text() != text


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(UsageError, match="is a folder: name the file in out="):
        write_cluster_file(tmp_path, True, provider="aws", gpu="t4")
