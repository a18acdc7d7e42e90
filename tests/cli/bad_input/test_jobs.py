"""Invalid job commands: refused before anything is sent and before Ray is imported."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.cli.toy_images import run

PURIFY = ["purify", "--encoder", "tiny_resnet", "--teacher", "t", "--data", "d", "--out", "o"]
NO_SERVER = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_ray_of_ours(monkeypatch, tmp_path):
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Restored after the test, because the command may change them.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--", "purfy"], "Did you mean purify?"),
        (["--", "submit", "--", *PURIFY], 'command for a job "submit"'),
        (["--", "demo"], 'command for a job "demo"'),
        (["--", "purify", "--encoder", "x"], "--teacher"),
        (["--", *PURIFY, "--worker", "2"], "--worker"),
        (["--", *PURIFY, "--local"], "--local"),
        (["--", *PURIFY, "--address", "auto"], "--address before the --"),
        (["--workers", "2", "--", *PURIFY, "--workers", "3"], "--workers is 2 before the -- and 3"),
        (["--workers", "many", "--", *PURIFY], "many"),
        (["--workers", "3-1", "--", *PURIFY], "3-1"),
        (["--name", "a/b", "--", *PURIFY], "--name a/b"),
        (["--env", "NAME", "--", *PURIFY], "NAME=VALUE"),
        (["--env", "HF_TOKEN=abcdefgh", "--", *PURIFY], "--env HF_TOKEN looks like a secret"),
        (["--", *PURIFY, "--recipe", "absent.toml"], "absent.toml"),
        (["--", *PURIFY, "--data", "s3://me:secret@b/d"], "holds a secret"),
        (["--", *PURIFY, "--set", "x=AKIAABCDEFGHIJKLMNOP"], "seems to contain a secret"),
        ([], "COMMAND"),
    ],
)
def test_an_invalid_submit_is_refused(refused, words, expected):
    sentence = refused_after_notes(refused, ["submit", "--address", NO_SERVER, *words], expected)
    assert "secret@" not in sentence


def refused_after_notes(refused, arguments, *expected):
    """Like `refused`, for commands that print notes before the error."""
    try:
        return refused(arguments, *expected, code=2)
    except AssertionError as other:
        text = str(other)
        assert "Job server" in text, text
        assert all(word in text for word in expected), text
        return text


@pytest.mark.parametrize("command", [["status", "x"], ["logs", "x"], ["stop", "x"], ["list"]])
def test_a_server_that_does_not_answer_gives_one_sentence(refused, command):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        refused([*command, "--address", url], "No job server answers", url, code=1)


@pytest.mark.parametrize("command", [["status", "x"], ["list"]])
def test_contradicting_addresses_are_both_named(refused, monkeypatch, command):
    monkeypatch.setenv("RAY_ADDRESS", "http://other:8265")
    refused(
        [*command, "--address", NO_SERVER], NO_SERVER, "RAY_ADDRESS", "http://other:8265", code=2
    )


def test_a_remote_server_without_a_token_is_refused(refused):
    refused(["list", "--address", "http://192.0.2.1:8265"], "--insecure", "auth_token", code=2)


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_an_answer_from_another_kind_of_server_gives_one_sentence(refused, status):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>no</html>")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        sentence = refused(["list", "--address", url], url, code=1)
        server.shutdown()
    words = {401: "requires a token", 403: "requires a token", 404: "is not a Ray job server"}
    assert words.get(status, "") in sentence


def test_job_commands_do_not_import_torch():
    """Checked in another process, before and after the first request."""
    program = """
import sys
from mimic_ray.cli.app import main
def run(*words):
    try:
        main([*words])
    except SystemExit:
        pass
address = ["--address", "http://127.0.0.1:9"]
for words in (["status", "x"], ["logs", "x"], ["stop", "x"], ["list"]):
    run(*words, *address)
    assert "ray" in sys.modules, words
purify = "purify --encoder tiny_resnet --teacher t --data d --out o".split()
run("submit", *address, "--", *purify)
print(sorted({"torch", "pandas", "timm", "torchvision"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stderr


def test_a_wrong_command_is_refused_before_ray_is_imported():
    program = """
import sys
from mimic_ray.cli.app import main
try:
    main(["submit", "--", "purfy"])
except SystemExit as end:
    print(end.code, "ray" in sys.modules, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["2", "False", "False"]


def test_an_unknown_subcommand_is_named(refused):
    refused(["submit", "--", "attack", "badencodr"], '"badencodr"', "badencoder", code=2)
    refused(["submit", "--", "attack", "badencoder"], "mimic-ray attack badencoder --help", code=2)


def test_an_address_after_the_dashes_is_refused_and_ray_address_names_the_server(
    refused, monkeypatch, capsys
):
    purify = ["purify", "--encoder", "x", "--teacher", "t", "--data", "d", "--out", "o"]
    refused(["submit", "--", *purify, "--address", "auto"], "set --address before the --", code=2)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    assert run(["submit", "--", *purify]) == 1
    assert "Job server  http://127.0.0.1:1 (from RAY_ADDRESS)" in capsys.readouterr().err
