"""Marks of options: finding the path in a value, and refusing invalid values early."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.cli.option_kinds import Kind, Use, read_value
from tests.cli.command_lines import all_commands, marked_options, with_value

INPUTS = (
    *(Kind.CHECKPOINT, Kind.CHECKPOINT_OR_RUN, Kind.NAMED_CHECKPOINT, Kind.IMAGES, Kind.TRIGGER),
    *(Kind.REFERENCES, Kind.RECIPE, Kind.ENCODER, Kind.HEAD),
)
ABSENT = {
    Kind.NAMED_CHECKPOINT: "x=none/absent.pth",
    Kind.TRIGGER: "none/absent.npz",
    Kind.RECIPE: "none/absent.toml",
    Kind.ENCODER: "none/absent.py:build",
}


@pytest.mark.parametrize(
    ("kind", "text", "use", "path"),
    [
        (Kind.CHECKPOINT, "t.pth", Use.INPUT, "t.pth"),
        (Kind.NAMED_CHECKPOINT, "a=t.pth", Use.INPUT, "t.pth"),
        (Kind.NAMED_CHECKPOINT, "runs/t.pth", Use.INPUT, "runs/t.pth"),
        (Kind.NAMED_CHECKPOINT, "s3://b/run/?region=x", Use.INPUT, "s3://b/run/?region=x"),
        (Kind.HEAD, "own", Use.WORD, ""),
        (Kind.HEAD, "head.safetensors", Use.INPUT, "head.safetensors"),
        (Kind.HEAD, "hf://owner/model", Use.INPUT, "hf://owner/model"),
        (Kind.IMAGES, "torchvision:CIFAR10:d", Use.INPUT, "torchvision:CIFAR10:d"),
        (Kind.TRIGGER, "patch:side=3", Use.WORD, ""),
        (Kind.TRIGGER, "s3://b/t.npz", Use.INPUT, "s3://b/t.npz"),
        (Kind.TRIGGER, "dir/mine.py:dots", Use.UPLOAD, "dir/mine.py"),
        (Kind.TRIGGER, "dir/mine.py:dots:size=3,gap=1", Use.UPLOAD, "dir/mine.py"),
        (Kind.REFERENCES, "12", Use.WORD, ""),
        (Kind.REFERENCES, "x.npz", Use.INPUT, "x.npz"),
        (Kind.OUTPUT, "run", Use.OUTPUT, "run"),
        (Kind.RECIPE, "default", Use.WORD, ""),
        (Kind.RECIPE, "my/default", Use.UPLOAD, "my/default"),
        (Kind.RECIPE, "mine.toml", Use.UPLOAD, "mine.toml"),
        (Kind.RECIPE, "s3://b/mine.toml", Use.INPUT, "s3://b/mine.toml"),
        (Kind.ENCODER, "vit_b16@384", Use.WORD, ""),
        (Kind.ENCODER, "dir/net.py:build", Use.UPLOAD, "dir/net.py"),
        (Kind.WORKERS, "1-3", Use.WORD, ""),
    ],
)
def test_the_path_in_a_value_is_found_and_can_be_replaced(kind, text, use, path):
    value = read_value(kind, text)
    assert (value.use, value.path) == (use, path)
    if use is not Use.WORD and kind is not Kind.NAMED_CHECKPOINT:
        assert value.with_path(path) == text


def test_a_checkpoint_without_a_name_is_named_after_its_file():
    for text, whole in (
        ("runs/t.pth", "t.pth=/x"),
        ("s3://b/run/?region=x", "run=/x"),
        ("a=b=c", "a=/x"),
    ):
        assert read_value(Kind.NAMED_CHECKPOINT, text).with_path("/x") == whole
    for text in ("=t.pth", "name=", "/"):
        with pytest.raises(UsageError, match="NAME=PATH"):
            read_value(Kind.NAMED_CHECKPOINT, text)


def test_every_command_refuses_bad_inputs_before_it_imports_torch(tmp_path):
    """Missing files, empty values and unknown schemes, all in one separate process."""
    lines = []
    for name, parameter, kind in marked_options((*INPUTS, Kind.OUTPUT)):
        lines.append((with_value(name, parameter, ""), "is empty"))
        if kind is not Kind.OUTPUT:
            absent = ABSENT.get(kind, "none/absent.pth")
            lines.append((with_value(name, parameter, absent), "does not exist"))
        if kind is Kind.TRIGGER:
            own = "none/absent.py:dots:size=3"
            lines.append((with_value(name, parameter, own), "does not exist"))
        if kind not in (Kind.TRIGGER, Kind.ENCODER):
            lines.append((with_value(name, parameter, "https://host/x.toml"), "https"))
    program = """
import contextlib, io, json, sys
from mimic_ray.cli.app import main
answers = []
for words in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            main(words)
        except SystemExit as end:
            code = end.code
    answers.append((code, stderr.getvalue()))
heavy = {"torch", "ray", "timm", "torchvision", "pyarrow"} & set(sys.modules)
print(json.dumps([answers, sorted(heavy)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([words for words, _ in lines]),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    answers, heavy = json.loads(done.stdout)
    assert heavy == []
    assert len(lines) > 60
    for (words, reason), (code, sentence) in zip(lines, answers, strict=True):
        assert code == 2, words
        assert sentence.startswith("error: "), words
        assert sentence.count("\n") == 1, sentence
        assert reason in sentence, (words, sentence)


def test_every_command_with_an_input_is_checked():
    """Covers all commands with checkpoints or images; the others take names and job ids."""
    checked = {name for name, _, _ in marked_options(INPUTS)}
    others = {name for name, _ in all_commands()} - checked
    assert not {name for name in others if not name.startswith(("cluster ", "bench "))} - {
        *("demo", "encoders", "submit", "status", "logs", "stop", "list"),
    }
