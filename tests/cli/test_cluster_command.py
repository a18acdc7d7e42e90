"""`mimic-ray cluster validate | up | down | attach`, with fakes of `ray` and `kubectl`."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from mimic_ray.cli.app import main
from tests.cluster_files import stand_ins
from tests.cluster_files.cluster_examples import (
    AWS,
    CLUSTER,
    FOLDER,
    line_of,
    without_placeholders,
)
from tests.cluster_files.stand_ins import SECRET_QUERY, log


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of `mimic-ray cluster ARGUMENTS`."""
    with pytest.raises(SystemExit) as ended:
        main(["cluster", *map(str, arguments)])
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


VERBS = {"up": "kubectl apply", "down": "kubectl delete"}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return stand_ins.prepare(tmp_path, monkeypatch)


def test_validate_prints_one_finding_per_line_and_exits_with_1(capsys, tmp_path):
    bad = without_placeholders(tmp_path, AWS, ("InstanceType: p4de", "InstanceTyp: p4de"))
    code, out, err = run(capsys, "validate", bad, FOLDER / "gcp.yaml")
    assert (code, err) == (1, "")
    assert out.splitlines()[0] == (
        f"{bad}:{line_of(bad, 'InstanceTyp:')}: error: "
        "available_node_types.gpu.node_config.InstanceTyp: "
        'Unknown key "InstanceTyp". Did you mean InstanceType?'
    )
    assert len(out.splitlines()) == 3  # with two placeholders in the other file


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


def test_the_command_is_printed_and_run(capfd, machine):
    code, out, _ = run(capfd, "up", without_placeholders(machine, AWS), "--yes")
    assert code == 0
    assert log(machine) == "ray up /aws.yaml --yes\n"
    assert out.replace(str(machine), "") == "/bin/ray up /aws.yaml --yes\n"
    code, out, _ = run(capfd, "up", without_placeholders(machine, CLUSTER), "--yes")
    assert code == 0
    assert log(machine).endswith(f"{SECRET_QUERY}kubectl apply -f /raycluster.yaml\n")


@pytest.mark.parametrize(("action", "before"), [("up", SECRET_QUERY), ("down", "")])
@pytest.mark.parametrize(("answer", "runs"), [("n\n", False), ("", False), ("y\n", True)])
def test_kubectl_changes_nothing_without_confirmation(
    capfd, machine, monkeypatch, action, before, answer, runs
):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    code, _, _ = run(capfd, action, without_placeholders(machine, CLUSTER))
    command = f"{VERBS[action]} -f /raycluster.yaml\n" if runs else ""
    assert (code, log(machine)) == (0 if runs else 1, before + command)


def test_a_dry_run_prints_the_command_and_does_not_run_it(capsys, machine):
    for name, command in ((AWS, "ray up"), (CLUSTER, "kubectl apply -f")):
        file = without_placeholders(machine, name)
        code, out, _ = run(capsys, "up", file, "--dry-run")
        assert (code, log(machine)) == (0, "")
        assert out.endswith(f"{command} {file}\n")


def test_the_exit_code_is_that_of_the_command(capfd, machine, monkeypatch):
    monkeypatch.setenv("CODE", "7")
    assert run(capfd, "up", without_placeholders(machine, AWS))[0] == 7


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
