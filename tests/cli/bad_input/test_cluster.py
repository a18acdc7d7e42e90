"""A manifest with a typo, and all else that is wrong with a cluster file."""

from __future__ import annotations

import pytest

from tests.cluster_files.cluster_examples import FOLDER, spoilt

PROJECT = ("--project", "p")
RENDER = ("cluster", "render", "--provider", "aws", "--gpu", "l4")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b"a: [1\n", ["no YAML", "line 2"]),
        (b"a: b\n", ["cluster_name", "apiVersion"]),
        (b"- 1\n", ["no cluster file"]),
        (b"<html>Sign in</html>\n", ["no cluster file"]),
        (b"\x89PNG\r\n\x1a\n", ["not UTF-8"]),
        (b"a: !!python/object/apply:os.system [ls]\n", ["no YAML", "os.system"]),
        (b"a: \x1b[31mred\n", ["no YAML"]),
    ],
)
def test_what_is_no_cluster_file_is_wrong_use(refused, tmp_path, content, words):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    refused(["cluster", "validate", path], "x.yaml", *words, code=2)
    refused(["cluster", "up", path], "x.yaml", *words, code=2)


def test_a_manifest_with_a_typo_is_not_started(refused, tmp_path):
    for name, old, new in (
        ("aws.yaml", "InstanceType: p4de", "InstanceTyp: p4de"),
        ("gcp.yaml", "project_id", "projectid"),
        ("kuberay/raycluster.yaml", "enableInTree", "enableIntree"),
        ("kuberay/rayjob.yaml", "entrypoint", "entrypont"),
    ):
        file = spoilt(tmp_path, name, (old, new))
        refused(["cluster", "up", file], new.split(":")[0], "Did you mean", code=1)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["cluster", "validate", "none.yaml"], ["none.yaml"]),
        (["cluster", "validate"], ["files", "mimic-ray cluster validate --help"]),
        (["cluster", "rendr"], ["rendr", "mimic-ray cluster --help"]),
        (["cluster", "render", "--provider", "aws"], ["--gpu"]),
        (["cluster", "render", "--provider", "awz", "--gpu", "l4"], ['"awz"', "aws"]),
        (["cluster", "render", "--provider", "aws", "--gpu", "a10"], ['"a10"', "a10g"]),
        (
            ["cluster", "render", "--provider", "gcp", "--gpu", "a10g", *PROJECT],
            ["a10g", "GCP has t4"],
        ),
        (
            ["cluster", "render", "--provider", "gcp", "--gpu", "v100", *PROJECT],
            ["CUDA", "--image"],
        ),
        ([*RENDER, "--kind", "rayjb"], ["rayjb", "rayjob"]),
        ([*RENDER, "--workers", "many"], ["--workers"]),
        ([*RENDER, "--workers", "0"], ["--workers 0"]),
        ([*RENDER, "--min-workers", "9"], ["--min-workers 9", "--workers 8"]),
        ([*RENDER, "--gpus-per-node", "3"], ["1, 4, 8"]),
        ([*RENDER, "--name", "My Cluster"], ["My Cluster"]),
        ([*RENDER, "--node-selector", "gpu"], ["KEY=VALUE"]),
        ([*RENDER, "--shared", "nfs"], ["HOST:/EXPORT"]),
        ([*RENDER, "--out", "/nowhere/x.yaml"], ["/nowhere"]),
        ([*RENDER, "--out", "/"], ["--force"]),
    ],
)
def test_wrong_use_is_one_sentence(refused, command, words):
    refused(command, *words, code=2)


def test_names_in_a_file_reach_the_terminal_without_escape_codes(capsys, tmp_path):
    from tests.cli.toy_images import run

    file = spoilt(tmp_path, "aws.yaml", ("ssh_user:", '"\\e[31m[bold]x":'))
    assert run(["cluster", "validate", file]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[bold]x" in out


def test_the_examples_are_there():
    assert (FOLDER / "aws.yaml").is_file()
