"""Warnings about valid but insecure files, and errors about tokens in a file."""

from __future__ import annotations

import pytest

from mimic_ray.cluster_files import versions
from tests.cluster_files.cluster_examples import (
    AWS,
    CLUSTER,
    FILES,
    GCP,
    edited,
    findings,
    line_of,
)

OPEN = (
    "  security_group:\n    GroupName: x\n    IpPermissions:\n"
    "      - {FromPort: %s, ToPort: %s, IpProtocol: tcp, IpRanges: [{CidrIp: %s}]}\nauth:\n"
)
HEAD_SPEC = "  headGroupSpec:\n"
CONTAINERS = "        containers:"
FIRST_VARIABLE = 'RAY_worker_niceness, value: "0"'


@pytest.mark.parametrize(
    ("name", "old", "new", "path", "words"),
    [
        (AWS, "=127.0.0.1", "=0.0.0.0", "head_start_ray_commands[1]", "0.0.0.0"),
        (AWS, "head_start_ray_commands:", "metadata:\n  x:", "head_start_ray_commands", "every"),
        (AWS, "AUTH_MODE=token", "AUTH_MODE=disabled", "docker.run_options", "is not set"),
        (GCP, "/home/ray/.ray/auth_token", "/home/ray/x", "file_mounts", "token file"),
        (AWS, "-ray2.60.0", "-ray2.58.1", "docker.image", "2.58.1"),
        (AWS, "0.1.0-ray2.60.0", "latest", "docker.image", "mutable tag"),
        (AWS, ":0.1.0-ray2.60.0", "", "docker.image", "mutable tag"),
        (AWS, "HttpTokens: required", "HttpTokens: optional", "head.node_config.Meta", "HttpTo"),
        (AWS, "auth:\n", OPEN % (8265, 8265, "0.0.0.0/0"), "IpPermissions[0]", "8265"),
        (AWS, "auth:\n", OPEN % (-1, -1, "0.0.0.0/0"), "IpPermissions[0]", "10001"),
        (CLUSTER, "mode: token", "mode: disabled", "spec.authOptions", "mode: token"),
        (CLUSTER, "rayVersion: 2.60.0", "rayVersion: 2.59.0", "spec.rayVersion", "2.59.0"),
        (CLUSTER, HEAD_SPEC, f"{HEAD_SPEC}    serviceType: LoadBalancer\n", "serviceType", "Load"),
        (CLUSTER, HEAD_SPEC, f"{HEAD_SPEC}    enableIngress: true\n", "enableIngress", "ingress"),
        (CLUSTER, "runAsNonRoot: true", "runAsNonRoot: false", "containers[0].sec", "runAsNonRoot"),
        (CLUSTER, CONTAINERS, f"        hostNetwork: true\n{CONTAINERS}", "hostNetwork", "Network"),
    ],
)
def test_an_exposed_port_or_a_mutable_part_is_a_warning(tmp_path, name, old, new, path, words):
    file = edited(tmp_path, name, (old, new))
    assert findings(file) == []
    found = findings(file, "warning")
    assert found
    assert path in found[0].path
    assert words in found[0].message


def test_a_rule_for_all_protocols_has_no_ports_and_opens_all(tmp_path):
    rule = OPEN.replace("FromPort: %s, ToPort: %s, IpProtocol: tcp", 'IpProtocol: "-1"')
    rule %= '"0.0.0.0/0"'
    (found,) = findings(edited(tmp_path, AWS, ("auth:\n", rule)), "warning")
    assert "Open to the whole internet: 6379" in found.message


@pytest.mark.parametrize(
    ("first", "last", "source"),
    [(22, 22, "0.0.0.0/0"), (1, 65535, "10.0.0.0/8"), (443, 443, "::/0")],
)
def test_other_ports_and_private_addresses_give_no_warning(tmp_path, first, last, source):
    file = edited(tmp_path, AWS, ("auth:\n", OPEN % (first, last, f'"{source}"')))
    assert findings(file, "warning") == []


@pytest.mark.parametrize(
    ("name", "old", "new", "path"),
    [
        (AWS, "AUTH_MODE=token", "AUTH_MODE=token -e RAY_AUTH_TOKEN=s3cret", "run_options[0]"),
        (
            CLUSTER,
            FIRST_VARIABLE,
            "RAY_AUTH_TOKEN, value: s3cret",
            "containers[0].env[0]",
        ),
    ],
)
def test_a_token_in_the_file_is_an_error_that_does_not_repeat_it(tmp_path, name, old, new, path):
    (found,) = findings(edited(tmp_path, name, (old, new)))
    assert found.path.endswith(path)
    assert "s3cret" not in str(found)


def test_a_token_from_a_shell_variable_is_accepted(tmp_path):
    new = "AUTH_MODE=token -e RAY_AUTH_TOKEN=$T"
    assert findings(edited(tmp_path, AWS, ("AUTH_MODE=token", new))) == []


def test_a_secret_in_the_file_is_a_warning(tmp_path):
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {auth_token: y}\n"
    file = edited(tmp_path, CLUSTER, ("---\n", f"---\n{secret}---\n"))
    (found,) = findings(file, "warning")
    assert "kubectl create secret" in found.message


def test_a_policy_for_other_pods_does_not_count_and_one_for_all_pods_does(tmp_path):
    old = "spec:\n  podSelector:\n    matchLabels:\n      mimic-ray/cluster: mimic-ray"
    file = edited(tmp_path, CLUSTER, (old, old.removesuffix("mimic-ray") + "another"))
    (found,) = findings(file, "warning")
    assert "No NetworkPolicy" in found.message
    file = edited(tmp_path, CLUSTER, (old, "spec:\n  podSelector: {}"))
    assert findings(file, "warning") == []


def test_an_image_with_a_digest_gives_no_warning(tmp_path):
    file = edited(tmp_path, AWS, (":0.1.0-ray2.60.0", "@sha256:" + 64 * "a"))
    assert findings(file, "warning") == []


@pytest.mark.parametrize("name", FILES)
def test_a_placeholder_is_one_note_on_its_line(tmp_path, name):
    file = edited(tmp_path, name)
    word = versions.PLACEHOLDERS[0]
    found = [note for note in findings(file, "note") if word in note.message]
    assert [note.line for note in found] == [line_of(file, word)]
