"""A cluster file or a cluster setting that cannot be used is one sentence."""

from __future__ import annotations

import pytest

from tests.cli.toy_images import run
from tests.cluster_files.cluster_examples import AWS, GCP, JOB, edited

RENDER = ("cluster", "render", "--provider", "aws", "--gpu", "l4")
ON_GCP = ("cluster", "render", "--provider", "gcp", "--project", "p", "--gpu")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"a: b\n", "cluster_name"),
        (b"<html>Sign in</html>\n", "is not a cluster file"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_a_cluster_file_is_wrong_use(refused, tmp_path, content, words):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    refused(["cluster", "validate", path], "x.yaml", words, code=2)
    refused(["cluster", "up", path], "x.yaml", words, code=2)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        (AWS, "InstanceType: p4de", "InstanceTyp: p4de", "Did you mean InstanceType?"),
        (GCP, "project_id", "projectid", "Did you mean project_id?"),
        (JOB, "entrypoint", "entrypont", "Did you mean entrypoint?"),
        (AWS, "provider:\n", "provider: [\n", "Not valid YAML"),
        (AWS, "max_workers: 1", "max_workers: !!python/name:os.system 1", "os.system"),
    ],
)
def test_a_file_with_a_mistake_is_not_started(refused, tmp_path, name, old, new, words):
    file = edited(tmp_path, name, (old, new))
    refused(["cluster", "up", file], file, words, "Nothing was changed.", code=1)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["cluster", "validate", "none.yaml"], ["none.yaml"]),
        (["cluster", "validate"], ["files", "mimic-ray cluster validate --help"]),
        (["cluster", "rendr"], ["rendr", "mimic-ray cluster --help"]),
        (["cluster", "render", "--provider", "aws"], ["--gpu"]),
        (["cluster", "render", "--provider", "awz", "--gpu", "l4"], ['"awz"', "aws"]),
        (["cluster", "render", "--provider", "aws", "--gpu", "a10"], ['"a10"', "a10g"]),
        ([*ON_GCP, "a10g"], ["a10g", "GCP has t4"]),
        ([*ON_GCP, "v100"], ["CUDA", "--image"]),
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
        ([*RENDER, "--", "purify"], ["rayjob"]),
    ],
)
def test_wrong_use_is_one_sentence(refused, command, words):
    refused(command, *words, code=2)


def test_keys_of_a_file_reach_the_terminal_without_escape_codes(capsys, tmp_path):
    file = edited(tmp_path, AWS, ("ssh_user:", '"\\e[31m[bold]x":'))
    assert run(["cluster", "validate", file]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[bold]x" in out
