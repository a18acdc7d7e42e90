"""Invalid cluster files and settings."""

import pytest

from tests.cluster_files.cluster_examples import AWS, edited

RENDER = ("cluster", "render", "--provider", "aws", "--gpu", "l4")


@pytest.mark.parametrize("action", ["validate", "up"])
def test_a_file_that_is_not_a_cluster_file_is_a_usage_error(refused, tmp_path, action):
    path = tmp_path / "x.yaml"
    path.write_text("<html>Sign in</html>\n")
    refused(["cluster", action, path], "x.yaml is not a cluster file", code=2)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("InstanceType: p4de", "InstanceTyp: p4de", "Did you mean InstanceType?"),
        ("max_workers: 1", "max_workers: !!python/name:os.system 1", "Not valid YAML"),
        ("ssh_user:", '"\\e[31m[bold]x":', "[bold]x"),  # without the escape code
    ],
)
def test_a_file_with_a_mistake_is_not_started(refused, tmp_path, old, new, words):
    file = edited(tmp_path, AWS, (old, new))
    sentence = refused(["cluster", "up", file], file, words, "Nothing was changed.", code=1)
    assert "\x1b" not in sentence


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["cluster", "validate", "none.yaml"], ["none.yaml"]),
        (["cluster", "validate"], ["files", "mimic-ray cluster validate --help"]),
        (["cluster", "rendr"], ["rendr", "mimic-ray cluster --help"]),
        ([*RENDER, "--workers", "many"], ["--workers"]),
        ([*RENDER, "--min-workers", "9"], ["--min-workers 9", "--workers 8"]),
        ([*RENDER, "--node-selector", "gpu"], ["--node-selector", "KEY=VALUE"]),
        ([*RENDER, "--out", "/nowhere/x.yaml"], ["/nowhere"]),
        ([*RENDER, "--", "purify"], ["--kind rayjob"]),
    ],
)
def test_wrong_use_is_one_sentence(refused, command, words):
    refused(command, *words, code=2)
