"""`mimic-ray cluster`, as a user runs it. `ray` and `kubectl` are stand-ins."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from mimic_ray.cli.app import main
from mimic_ray.workflows import cluster as workflow
from tests.cluster_files.cluster_examples import FOLDER, line_of, owned, spoilt

CLUSTER = "kuberay/raycluster.yaml"


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["cluster", *map(str, arguments)])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


# Of a stand-in: what SAYS, if it is set, to each question; else the exit code.
ANSWER = """\
case "$*" in *"get secret"*) [ -z "$SAYS" ] || { echo "$SAYS" >&2; exit 1; }; exit 0;; esac
exit ${CODE:-0}
"""
VERBS = {"up": "kubectl apply", "down": "kubectl delete"}
SECRET = "get secret mimic-ray-token -o name\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A home with a token, and stand-ins of ray and kubectl that write what they were given."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    (home / ".ray").mkdir(parents=True)
    token = home / ".ray" / "auth_token"
    token.write_text("t0ken")
    token.chmod(0o600)
    programs.mkdir()
    for name in ("ray", "kubectl"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/ran\n{ANSWER}')
        program.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return tmp_path


def ran(machine) -> str:
    path = machine / "ran"
    return path.read_text().replace(str(machine), "") if path.exists() else ""


def test_render_writes_the_file_and_validate_finds_nothing_wrong(capsys, tmp_path):
    file = tmp_path / "aws.yaml"
    wish = ("--provider", "aws", "--gpu", "a100", "--workers", 8, "--spot")
    code, out, _ = run(capsys, "render", *wish, "--image", "ghcr.io/me/mimic:1", "--out", file)
    assert code == 0
    assert f"mimic-ray cluster validate {file}" in out
    assert "image: ghcr.io/me/mimic:1\n" in file.read_text()
    code, out, _ = run(capsys, "validate", file)
    assert (code, out) == (0, f"{file}: no problems found.\n")


def test_render_replaces_a_file_only_with_force(capsys, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("mine")
    wish = ("render", "--provider", "aws", "--gpu", "l4", "--out", file)
    code, _, err = run(capsys, *wish)
    assert (code, file.read_text()) == (2, "mine")
    assert "--force" in err
    assert run(capsys, *wish, "--force")[0] == 0
    assert "cluster_name" in file.read_text()


def test_validate_prints_a_finding_a_line_and_ends_with_1(capsys, tmp_path):
    bad = owned(tmp_path, "aws.yaml", ("InstanceType: p4de", "InstanceTyp: p4de"))
    code, out, err = run(capsys, "validate", bad, FOLDER / "gcp.yaml")
    assert code == 1
    assert err == ""
    first = out.splitlines()[0]
    assert first == (
        f"{bad}:{line_of(bad, 'InstanceTyp:')}: error: "
        "available_node_types.gpu.node_config.InstanceTyp: "
        'There is no key "InstanceTyp" here. Did you mean InstanceType?'
    )


def test_validate_answers_a_machine(capsys, tmp_path):
    bad = owned(tmp_path, CLUSTER, ("minReplicas: 1", "minReplicas: 9"))
    code, out, _ = run(capsys, "validate", bad, "--json")
    answer = json.loads(out)
    assert (code, answer["valid"]) == (1, False)
    places = {(found["level"], found["path"], found["line"]) for found in answer["findings"]}
    assert (
        "error",
        "spec.workerGroupSpecs[0].minReplicas",
        line_of(bad, "minReplicas: 9"),
    ) in places


def test_warnings_are_no_failure(capsys, tmp_path):
    file = owned(tmp_path, "aws.yaml", ("=127.0.0.1", "=0.0.0.0"))
    code, out, _ = run(capsys, "validate", file)
    assert code == 0
    assert "warning: head_start_ray_commands[1]" in out


@pytest.mark.parametrize(
    ("name", "arguments", "command"),
    [
        ("aws.yaml", ("up", "FILE", "--yes"), "ray up /aws.yaml --yes\n"),
        ("aws.yaml", ("up", "FILE"), "ray up /aws.yaml\n"),
        ("aws.yaml", ("down", "FILE"), "ray down /aws.yaml\n"),
        ("aws.yaml", ("attach", "FILE"), "ray attach /aws.yaml\n"),
        ("aws.yaml", ("attach", "FILE", "--dashboard"), "ray dashboard /aws.yaml\n"),
        (
            CLUSTER,
            ("up", "FILE", "--yes"),
            f"kubectl {SECRET}kubectl apply -f /raycluster.yaml\n",
        ),
        (
            CLUSTER,
            ("up", "FILE", "--namespace", "ml", "-y"),
            f"kubectl --namespace ml {SECRET}kubectl --namespace ml apply -f /raycluster.yaml\n",
        ),
        (CLUSTER, ("down", "FILE", "--yes"), "kubectl delete -f /raycluster.yaml\n"),
        (
            CLUSTER,
            ("attach", "FILE", "--dashboard"),
            "kubectl port-forward service/mimic-ray-head-svc 8265:8265\n",
        ),
        (
            CLUSTER,
            ("attach", "FILE"),
            "kubectl exec -it service/mimic-ray-head-svc -c ray-head -- bash\n",
        ),
    ],
)
def test_the_command_is_printed_and_run(capfd, machine, name, arguments, command):
    file = owned(machine, name)
    code, out, _ = run(capfd, *(file if word == "FILE" else word for word in arguments))
    assert code == 0
    assert ran(machine) == command
    printed = out.replace(str(machine), "").replace("/bin/ray", "ray")
    assert printed == command.splitlines(keepends=True)[-1]


def test_a_secret_that_kubernetes_lacks_is_said_with_how_to_make_it(capfd, machine, monkeypatch):
    file = owned(machine, CLUSTER)
    monkeypatch.setenv("SAYS", 'Error (NotFound): secrets "mimic-ray-token" not found')
    code, _, err = run(capfd, "up", file)
    assert (code, "kubectl create secret generic mimic-ray-token" in err) == (1, True)
    assert ran(machine) == f"kubectl {SECRET}"
    # Nothing is asked in a dry run, and what only the command knows is left to it.
    assert run(capfd, "up", file, "--dry-run")[0] == 0
    monkeypatch.setenv("SAYS", "connection refused")
    assert run(capfd, "up", file, "--yes")[0] == 0
    assert ran(machine).endswith("apply -f /raycluster.yaml\n")


def test_a_dry_run_prints_and_runs_nothing(capsys, machine):
    file = owned(machine, "aws.yaml")
    code, out, _ = run(capsys, "up", file, "--dry-run")
    assert (code, out.endswith(f"ray up {file}\n"), ran(machine)) == (0, True, "")


def test_the_exit_code_is_that_of_the_command(capfd, machine, monkeypatch):
    monkeypatch.setenv("CODE", "7")
    assert run(capfd, "up", owned(machine, "aws.yaml"))[0] == 7


@pytest.mark.parametrize(("action", "before"), [("up", f"kubectl {SECRET}"), ("down", "")])
def test_kubectl_changes_nothing_without_a_yes(capfd, machine, monkeypatch, action, before):
    for answer, last in (("n\n", ""), ("", ""), ("y\n", f"{VERBS[action]} -f /raycluster.yaml\n")):
        (machine / "ran").unlink(missing_ok=True)
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code, _, _ = run(capfd, action, owned(machine, CLUSTER))
        assert (code, ran(machine)) == (0 if last else 1, before + last)


def test_render_warns_about_each_placeholder_and_needs_a_gcp_project(capsys):
    wish = ("render", "--provider", "gcp", "--gpu", "l4")
    code, _, err = run(capsys, *wish)
    assert (code, "Set --project to the ID of your GCP project." in err) == (2, True)
    code, out, err = run(capsys, *wish, "--project", "mine")
    assert (code, err.count("warning:")) == (0, 1)
    assert "registry.example.com" in err
    assert "warning" not in out


def test_a_file_with_an_error_or_a_placeholder_is_not_started(capsys, machine):
    bad = owned(machine, "aws.yaml", ("ssh_user", "ssh_usr"), ("region:", "regoin:"))
    code, _, err = run(capsys, "up", bad)
    assert (code, err.count("\n")) == (1, 1)
    assert "(1 more error). Nothing was started." in err
    code, _, err = run(capsys, "up", spoilt(machine, "aws.yaml"))
    assert code == 1
    assert "registry.example.com" in err
    # What is there already can be ended all the same.
    assert run(capsys, "down", spoilt(machine, "aws.yaml"), "--dry-run")[0] == 0
    assert ran(machine) == ""


def test_a_token_file_that_lacks_or_is_open_to_others_is_said_before_anything(capsys, machine):
    file = owned(machine, "aws.yaml")
    token = machine / "home" / ".ray" / "auth_token"
    token.chmod(0o644)
    code, _, err = run(capsys, "up", file)
    assert (code, "chmod 600 ~/.ray/auth_token" in err) == (1, True)
    token.unlink()
    code, _, err = run(capsys, "up", file)
    assert (code, "ray get-auth-token --generate" in err) == (1, True)
    assert ran(machine) == ""


def test_what_is_not_installed_is_named(capsys, machine, monkeypatch):
    aws, kubernetes = owned(machine, "aws.yaml"), owned(machine, CLUSTER)
    monkeypatch.setattr(workflow, "find_spec", lambda _: None)
    assert "pip install boto3" in run(capsys, "up", aws)[2]
    monkeypatch.setenv("PATH", "/nowhere")
    assert "kubectl is not installed" in run(capsys, "up", kubernetes)[2]
    (machine / "bin" / "ray").unlink()
    monkeypatch.undo()


def test_a_namespace_is_refused_where_there_is_none(capsys, machine):
    code, _, err = run(capsys, "down", owned(machine, "aws.yaml"), "--namespace", "ml")
    assert (code, "--namespace needs a Kubernetes file" in err, ran(machine)) == (2, True, "")


def test_the_cluster_of_a_job_is_not_guessed(capsys, machine):
    code, _, err = run(capsys, "attach", owned(machine, "kuberay/rayjob.yaml"))
    assert code == 2
    assert "status.rayClusterName" in err


@pytest.mark.parametrize(
    ("arguments", "never"),
    [
        (["cluster", "--help"], ("torch", "ray", "yaml", "jsonschema")),
        (["cluster", "render", "--provider", "aws", "--gpu", "l4"], ("torch", "ray")),
        (["cluster", "validate", str(FOLDER / CLUSTER)], ("torch", "ray")),
        (["cluster", "validate", str(FOLDER / "aws.yaml")], ("torch", "boto3")),
    ],
)
def test_light_commands_import_nothing_heavy(arguments, never):
    program = (
        "import sys\nfrom mimic_ray.cli.app import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not set(never) & set(done.stderr.split())
