"""What is accepted and advised against: open doors, tokens, and images that move."""

from __future__ import annotations

import pytest

from mimic_ray.cluster_files import versions
from tests.cluster_files.cluster_examples import FILES, findings, line_of, spoilt

CLUSTER = "kuberay/raycluster.yaml"
OPEN = (
    "  security_group:\n    GroupName: x\n    IpPermissions:\n"
    "      - {FromPort: %s, ToPort: %s, IpProtocol: tcp, IpRanges: [{CidrIp: %s}]}\nauth:\n"
)


@pytest.mark.parametrize(
    ("name", "old", "new", "path", "words"),
    [
        ("aws.yaml", "=127.0.0.1", "=0.0.0.0", "head_start_ray_commands[1]", "0.0.0.0"),
        ("aws.yaml", "AUTH_MODE=token", "AUTH_MODE=disabled", "docker.run_options", "is not set"),
        ("gcp.yaml", "/home/ray/.ray/auth_token", "/home/ray/x", "file_mounts", "token file"),
        ("aws.yaml", "-ray2.60.0", "-ray2.58.1", "docker.image", "2.58.1"),
        ("aws.yaml", "0.1.0-ray2.60.0", "latest", "docker.image", "another image tomorrow"),
        ("aws.yaml", ":0.1.0-ray2.60.0", "", "docker.image", "another image tomorrow"),
        ("aws.yaml", "HttpTokens: required", "HttpTokens: optional", "head.node_config.Meta", ""),
        ("aws.yaml", "auth:\n", OPEN % (8265, 8265, "0.0.0.0/0"), "IpPermissions[0]", "8265"),
        ("aws.yaml", "auth:\n", OPEN % (443, 8264, "0.0.0.0/0"), "IpPermissions[0]", "6379"),
        ("aws.yaml", "auth:\n", OPEN % (1, 65535, "0.0.0.0/0"), "IpPermissions[0]", "6379"),
        ("aws.yaml", "auth:\n", OPEN % (-1, -1, "0.0.0.0/0"), "IpPermissions[0]", "10001"),
        (CLUSTER, "mode: token", "mode: disabled", "spec.authOptions", "mode: token"),
        (CLUSTER, "rayVersion: 2.60.0", "rayVersion: 2.59.0", "spec.rayVersion", "2.59.0"),
        (
            CLUSTER,
            "  headGroupSpec:\n",
            "  headGroupSpec:\n    serviceType: LoadBalancer\n",
            "serv",
            "",
        ),
        (
            CLUSTER,
            "  headGroupSpec:\n",
            "  headGroupSpec:\n    enableIngress: true\n",
            "enableI",
            "",
        ),
        (CLUSTER, "runAsNonRoot: true", "runAsNonRoot: false", "containers[0].sec", "runAsNonRoot"),
        (
            CLUSTER,
            "        containers:",
            "        hostNetwork: true\n        containers:",
            "host",
            "",
        ),
    ],
)
def test_an_open_door_or_a_moving_part_is_a_warning(tmp_path, name, old, new, path, words):
    file = spoilt(tmp_path, name, (old, new))
    assert findings(file) == []
    found = findings(file, "warning")
    assert found
    assert path in found[0].path
    assert words in found[0].what


@pytest.mark.parametrize(
    ("first", "last", "whence"),
    [(22, 22, "0.0.0.0/0"), (1, 65535, "10.0.0.0/8"), (443, 443, "::/0")],
)
def test_ports_that_are_not_rays_or_not_the_worlds_are_no_warning(tmp_path, first, last, whence):
    file = spoilt(tmp_path, "aws.yaml", ("auth:\n", OPEN % (first, last, f'"{whence}"')))
    assert findings(file, "warning") == []


def test_a_token_that_is_written_out_is_an_error_and_is_not_repeated(tmp_path):
    secret = "5f2c9d-very-secret"
    new = f"AUTH_MODE=token -e RAY_AUTH_TOKEN={secret}"
    (found,) = findings(spoilt(tmp_path, "aws.yaml", ("AUTH_MODE=token", new)))
    assert (found.path, "written out" in found.what) == ("docker.run_options[0]", True)
    assert secret not in str(found)
    env = f"        - name: ray-head\n            env: [{{name: RAY_AUTH_TOKEN, value: {secret}}}]"
    file = spoilt(tmp_path, CLUSTER, ("        - name: ray-head", env))
    (found,) = findings(file)
    assert found.path.endswith("containers[0].env[0]")
    assert secret not in str(found)
    # One that the shell or a Secret fills in is none.
    file = spoilt(tmp_path, "aws.yaml", ("AUTH_MODE=token", "AUTH_MODE=token -e RAY_AUTH_TOKEN=$T"))
    assert findings(file) == []


def test_a_secret_in_the_file_is_a_warning(tmp_path):
    secret = (
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {auth_token: y}\n---\n"
    )
    file = spoilt(tmp_path, CLUSTER, ("---\n", secret))
    (found,) = findings(file, "warning")
    assert "kubectl create secret" in found.what


def test_a_policy_that_selects_other_pods_is_as_none(tmp_path):
    old = "spec:\n  podSelector:\n    matchLabels:\n      mimic-ray/cluster: mimic-ray"
    file = spoilt(tmp_path, CLUSTER, (old, old.removesuffix("mimic-ray") + "another"))
    (found,) = findings(file, "warning")
    assert "No NetworkPolicy" in found.what
    file = spoilt(tmp_path, CLUSTER, (old, "spec:\n  podSelector: {}"))
    assert findings(file, "warning") == []


def test_without_start_commands_rays_default_would_open_the_dashboard(tmp_path):
    text = spoilt(tmp_path, "aws.yaml", ("head_start_ray_commands:", "metadata:\n  x:")).read_text()
    (tmp_path / "aws.yaml").write_text(text)
    warnings = findings(tmp_path / "aws.yaml", "warning")
    assert [found.path for found in warnings] == ["head_start_ray_commands"]


def test_a_digest_is_pinned(tmp_path):
    file = spoilt(tmp_path, "aws.yaml", (":0.1.0-ray2.60.0", "@sha256:" + 64 * "a"))
    assert findings(file, "warning") == []


@pytest.mark.parametrize("name", FILES)
def test_a_placeholder_is_named_once_with_its_line(tmp_path, name):
    file = spoilt(tmp_path, name)
    found = [note for note in findings(file, "note") if versions.PLACEHOLDERS[0] in note.what]
    assert [note.line for note in found] == [line_of(file, versions.PLACEHOLDERS[0])]
