from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest

from mimic_ray.base import storage as storage_module
from mimic_ray.base import storage_address as address_module
from mimic_ray.base.errors import StorageError, UsageError
from mimic_ray.base.storage import local_copy, open_storage
from mimic_ray.base.storage_address import is_remote, parse


@pytest.fixture(params=["s3", "file", "path"])
def place(request, tmp_path) -> str:
    """An address under which nothing is yet."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/some/prefix"
    return f"file://{tmp_path}/a b" if request.param == "file" else str(tmp_path / "a b")


def test_what_is_written_is_read_whole_and_by_range(place):
    storage = open_storage(place)
    storage.write("x/y.bin", bytes(range(100)))
    assert storage.read_bytes("x/y.bin") == bytes(range(100))
    assert storage.read_range("x/y.bin", 10, 5) == bytes(range(10, 15))
    assert storage.read_range("x/y.bin", 98, 5) == bytes([98, 99])
    assert storage.find("x/y.bin").size == 100


def test_a_file_at_hand_has_its_name_and_all_its_bytes(place, monkeypatch):
    monkeypatch.setattr(storage_module, "_CHUNK", 7)
    open_storage(place).write("below/suspect.pth", bytes(range(100)))
    path = local_copy(f"{place}/below/suspect.pth")
    assert path.name == "suspect.pth"
    assert path.read_bytes() == bytes(range(100))


def test_a_remote_file_that_is_missing_is_not_at_hand(bucket):
    with pytest.raises(StorageError, match=r"nowhere/suspect\.pth does not exist"):
        local_copy(f"{bucket}/nowhere/suspect.pth")


def test_a_file_that_is_written_again_is_read_again(place):
    storage = open_storage(place)
    for content in (b"first", b"and second"):
        storage.write("a.gz", content)
        assert storage.read_range("a.gz", 0, 100) == content == storage.read_bytes("a.gz")


def test_the_version_changes_with_the_content_alone(place):
    storage = open_storage(place)
    storage.write("a", b"one")
    first = storage.version("a")
    assert storage.version("a") == first
    storage.write("a", b"two")
    assert storage.version("a") != first


def test_a_local_file_is_copied_as_it_is(place, tmp_path):
    (tmp_path / "weights").write_bytes(b"w" * (20 << 20))
    storage = open_storage(place)
    storage.write("weights", tmp_path / "weights")
    assert storage.read_bytes("weights") == b"w" * (20 << 20)


def test_a_listing_has_all_files_below_and_no_folders(place):
    storage = open_storage(place)
    assert storage.list() == []
    for name in ("b", "a/c", "a/b/d"):
        storage.write(name, name.encode())
    assert [(found.name, found.size) for found in storage.list()] == [
        ("a/b/d", 5),
        ("a/c", 3),
        ("b", 1),
    ]
    assert abs(storage.list()[0].modified_s - time.time()) < 3600


def test_a_deleted_file_is_gone_and_may_be_deleted_again(place):
    storage = open_storage(place)
    storage.write("a", b"a")
    assert storage.exists("a")
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")
    with pytest.raises(StorageError, match="/a does not exist"):
        storage.read_bytes("a")
    with pytest.raises(StorageError, match="/a does not exist"):
        storage.read_range("a", 0, 1)


def test_a_deleted_folder_is_gone_with_all_in_it_and_may_be_deleted_again(place):
    storage = open_storage(place)
    for name in ("a/b/c", "a/d", "ab"):
        storage.write(name, b"")
    for _ in range(2):
        storage.delete_folder("a")
        assert [found.name for found in storage.list()] == ["ab"]


def test_threads_read_ranges_of_one_file_at_once(place):
    storage = open_storage(place)
    storage.write("a", bytes(i % 251 for i in range(5000)))
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda i: storage.read_range("a", i, 1), range(0, 5000, 7)))
    assert b"".join(parts) == bytes(i % 251 for i in range(0, 5000, 7))


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_named():
    storage = open_storage("s3://no-such-bucket/prefix")
    for call in (storage.list, lambda: storage.write("a", b"")):
        with pytest.raises(StorageError, match=r"s3://no-such-bucket/prefix.*no such bucket"):
            call()


def test_an_endpoint_that_refuses_is_a_sentence_without_a_secret(bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-value")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        open_storage(bucket).list()
    assert "very-secret-value" not in str(caught.value)


def test_an_endpoint_that_never_answers_does_not_hold_us(bucket, monkeypatch):
    monkeypatch.setattr(address_module, "_SILENCE_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connections = []

        def accept() -> None:
            while True:
                try:
                    connections.append(silent.accept()[0])
                except OSError:
                    return

        thread = Thread(target=accept, daemon=True)
        thread.start()
        port = silent.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        start = time.monotonic()
        with pytest.raises(StorageError, match="cannot be reached"):
            open_storage(bucket).read_bytes("a")
        assert time.monotonic() - start < 30
        silent.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()
    thread.join(5)


def test_denied_access_says_how_to_give_credentials(bucket, s3_server):
    script = (
        "import json, urllib.request, sys; from mimic_ray.base.storage import open_storage;"
        f"url = {s3_server['AWS_ENDPOINT_URL']!r} + '/moto-api/reset-auth';"
        "check = lambda n: urllib.request.urlopen(urllib.request.Request(url, data=n, "
        "headers={'Content-Type': 'text/plain'})).read();"
        "check(b'0');"
        f"storage = open_storage({bucket!r});\n"
        "try: storage.list()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "finally: check(b'inf')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert "StorageError" in done.stdout, done.stderr[-500:]
    assert "access was denied. Set AWS_ACCESS_KEY_ID" in done.stdout


def test_the_endpoint_may_stand_in_the_address(bucket, monkeypatch):
    endpoint = address_module.os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    storage = open_storage(f"{bucket}/p?endpoint_override={endpoint}&scheme=http&region=eu-west-1")
    storage.write("a", b"here")
    assert storage.read_bytes("a") == b"here"
    assert storage.shown("a") == f"{bucket}/p/a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://AKIAIO:hush-hush@bucket/x", "holds a secret"),
        ("abfs://container/x", r"no storage is called abfs://"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/x?secret_key=hush-hush", "unknown setting secret_key"),
        ("gs://bucket/x?X-Goog-Signature=hush-hush", "unknown setting X-Goog-Signature"),
    ],
)
def test_addresses_that_mean_nothing_are_refused_and_secrets_not_repeated(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse(text)
    assert "hush-hush" not in str(caught.value)


def test_addresses_are_taken_apart(tmp_path):
    assert parse("s3://bucket/a/b/").path == "bucket/a/b"
    assert parse("gs://bucket").bucket == "bucket"
    assert parse(f"file://{tmp_path}/a%20b").path == f"{tmp_path}/a b"
    assert parse(tmp_path).path == str(tmp_path)
    remote = {"s3://b/x": True, "gs://b/x": True, "file:///x": False, "/x": False, "x.tar": False}
    assert {text: is_remote(text) for text in remote} == remote
    assert json.dumps(parse("s3://b/x?region=r").settings) == '{"region": "r"}'
