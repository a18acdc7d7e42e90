"""`mimic-ray cluster validate | up | down | attach`, with stand-ins for `ray` and `kubectl`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from mimic_ray.cli.app import main
from tests.cluster_files.cluster_examples import (
    AWS,
    CLUSTER,
    FOLDER,
    JOB,
    edited,
    line_of,
    without_placeholders,
)


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of `mimic-ray cluster ARGUMENTS`."""
    with pytest.raises(SystemExit) as ended:
        main(["cluster", *map(str, arguments)])
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


# A stand-in fails a query for a secret with $SECRET_ERROR, and ends with $CODE otherwise.
STAND_IN = """\
#!/bin/sh
echo {name} "$@" >> {log}
case "$*" in *"get secret"*)
    [ -z "$SECRET_ERROR" ] || {{ echo "$SECRET_ERROR" >&2; exit 1; }}; exit 0;;
esac
exit ${{CODE:-0}}
"""
QUERY = "get secret mimic-ray-token -o name\n"
VERBS = {"up": "kubectl apply", "down": "kubectl delete"}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A home with a token, and stand-ins for ray and kubectl that log their arguments."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    (home / ".ray").mkdir(parents=True)
    token = home / ".ray" / "auth_token"
    token.write_text("t0ken")
    token.chmod(0o600)
    programs.mkdir()
    for name in ("ray", "kubectl"):
        program = programs / name
        program.write_text(STAND_IN.format(name=name, log=tmp_path / "log"))
        program.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return tmp_path


def log(machine) -> str:
    path = machine / "log"
    return path.read_text().replace(str(machine), "") if path.exists() else ""


def test_validate_prints_one_finding_per_line_and_exits_with_1(capsys, tmp_path):
    bad = without_placeholders(tmp_path, AWS, ("InstanceType: p4de", "InstanceTyp: p4de"))
    code, out, err = run(capsys, "validate", bad, FOLDER / "gcp.yaml")
    assert (code, err) == (1, "")
    assert out.splitlines()[0] == (
        f"{bad}:{line_of(bad, 'InstanceTyp:')}: error: "
        "available_node_types.gpu.node_config.InstanceTyp: "
        'Unknown key "InstanceTyp". Did you mean InstanceType?'
    )
    assert len(out.splitlines()) == 3  # and two placeholders of the other file


def test_validate_prints_json(capsys, tmp_path):
    bad = without_placeholders(tmp_path, CLUSTER, ("minReplicas: 1", "minReplicas: 9"))
    code, out, _ = run(capsys, "validate", bad, "--json")
    answer = json.loads(out)
    assert (code, answer["valid"]) == (1, False)
    (found,) = answer["findings"]
    assert found["path"] == "spec.workerGroupSpecs[0].minReplicas"
    assert (found["level"], found["line"]) == ("error", line_of(bad, "minReplicas: 9"))


def test_a_file_with_warnings_or_without_findings_exits_with_0(capsys, tmp_path):
    file = without_placeholders(tmp_path, AWS, ("=127.0.0.1", "=0.0.0.0"))
    code, out, _ = run(capsys, "validate", file)
    assert (code, "warning: head_start_ray_commands[1]" in out) == (0, True)
    file = without_placeholders(tmp_path, AWS)
    assert run(capsys, "validate", file)[:2] == (0, f"{file}: no problems found.\n")


@pytest.mark.parametrize(
    ("name", "arguments", "commands"),
    [
        (AWS, ("up", "FILE", "--yes"), "ray up /aws.yaml --yes\n"),
        (AWS, ("up", "FILE"), "ray up /aws.yaml\n"),  # which asks by itself
        (AWS, ("down", "FILE"), "ray down /aws.yaml\n"),
        (AWS, ("attach", "FILE"), "ray attach /aws.yaml\n"),
        (AWS, ("attach", "FILE", "--dashboard"), "ray dashboard /aws.yaml\n"),
        (CLUSTER, ("up", "FILE", "--yes"), f"kubectl {QUERY}kubectl apply -f /raycluster.yaml\n"),
        (
            CLUSTER,
            ("up", "FILE", "--namespace", "ml", "-y"),
            f"kubectl --namespace ml {QUERY}kubectl --namespace ml apply -f /raycluster.yaml\n",
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
def test_the_command_is_printed_and_run(capfd, machine, name, arguments, commands):
    file = without_placeholders(machine, name)
    code, out, _ = run(capfd, *(file if word == "FILE" else word for word in arguments))
    assert code == 0
    assert log(machine) == commands
    printed = out.replace(str(machine), "").replace("/bin/ray", "ray")
    assert printed == commands.splitlines(keepends=True)[-1]


@pytest.mark.parametrize(("action", "before"), [("up", f"kubectl {QUERY}"), ("down", "")])
@pytest.mark.parametrize(("answer", "runs"), [("n\n", False), ("", False), ("y\n", True)])
def test_kubectl_changes_nothing_without_a_yes(
    capfd, machine, monkeypatch, action, before, answer, runs
):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    code, _, _ = run(capfd, action, without_placeholders(machine, CLUSTER))
    command = f"{VERBS[action]} -f /raycluster.yaml\n" if runs else ""
    assert (code, log(machine)) == (0 if runs else 1, before + command)


def test_a_dry_run_prints_the_command_and_runs_nothing(capsys, machine):
    for name, command in ((AWS, "ray up"), (CLUSTER, "kubectl apply -f")):
        file = without_placeholders(machine, name)
        code, out, _ = run(capsys, "up", file, "--dry-run")
        assert (code, log(machine)) == (0, "")
        assert out.endswith(f"{command} {file}\n")


def test_the_exit_code_is_that_of_the_command(capfd, machine, monkeypatch):
    monkeypatch.setenv("CODE", "7")
    assert run(capfd, "up", without_placeholders(machine, AWS))[0] == 7


def test_up_names_a_missing_secret_and_how_to_create_it(capfd, machine, monkeypatch):
    file = without_placeholders(machine, CLUSTER)
    monkeypatch.setenv("SECRET_ERROR", 'Error (NotFound): secrets "mimic-ray-token" not found')
    code, _, err = run(capfd, "up", file, "--yes")
    assert (code, "kubectl create secret generic mimic-ray-token" in err) == (1, True)
    assert log(machine) == f"kubectl {QUERY}"
    # `kubectl apply` itself reports any other problem.
    monkeypatch.setenv("SECRET_ERROR", "connection refused")
    assert run(capfd, "up", file, "--yes")[0] == 0
    assert log(machine).endswith("apply -f /raycluster.yaml\n")


def test_up_refuses_a_file_with_errors_or_placeholders_and_down_accepts_placeholders(
    capsys, machine
):
    bad = without_placeholders(machine, AWS, ("ssh_user", "ssh_usr"), ("region:", "regoin:"))
    code, _, err = run(capsys, "up", bad)
    assert (code, err.count("\n")) == (1, 1)
    assert "(1 more error). Nothing was started." in err
    code, _, err = run(capsys, "up", edited(machine, AWS))
    assert (code, "registry.example.com" in err) == (1, True)
    assert run(capsys, "down", edited(machine, AWS), "--dry-run")[0] == 0
    assert log(machine) == ""


def test_up_refuses_a_token_file_that_is_missing_or_readable_by_others(capsys, machine):
    file = without_placeholders(machine, AWS)
    token = machine / "home" / ".ray" / "auth_token"
    token.chmod(0o644)
    code, _, err = run(capsys, "up", file)
    assert (code, "chmod 600 ~/.ray/auth_token" in err) == (1, True)
    token.unlink()
    code, _, err = run(capsys, "up", file)
    assert (code, "ray get-auth-token --generate" in err) == (1, True)
    assert log(machine) == ""


def test_a_missing_package_or_program_is_named(capsys, machine, monkeypatch):
    monkeypatch.setattr("mimic_ray.workflows.cluster.find_spec", lambda _: None)
    assert "pip install boto3" in run(capsys, "up", without_placeholders(machine, AWS))[2]
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, err = run(capsys, "up", without_placeholders(machine, CLUSTER))
    assert (code, "kubectl is not installed" in err) == (1, True)


def test_wrong_use_of_an_action_exits_with_2(capsys, machine):
    code, _, err = run(capsys, "down", without_placeholders(machine, AWS), "--namespace", "ml")
    assert (code, "--namespace needs a Kubernetes file" in err) == (2, True)
    code, _, err = run(capsys, "attach", without_placeholders(machine, JOB))
    assert (code, "status.rayClusterName" in err) == (2, True)
    assert log(machine) == ""


@pytest.mark.parametrize(
    ("arguments", "never"),
    [
        (["cluster", "--help"], ("torch", "ray", "yaml", "jsonschema")),
        (["cluster", "render", "--provider", "aws", "--gpu", "l4"], ("torch", "ray")),
        (["cluster", "validate", str(FOLDER / CLUSTER), str(FOLDER / AWS)], ("torch", "boto3")),
    ],
)
def test_a_command_imports_nothing_heavy(arguments, never):
    program = (
        "import sys\nfrom mimic_ray.cli.app import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not set(never) & set(done.stderr.split())
