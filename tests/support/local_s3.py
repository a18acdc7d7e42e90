"""An S3 server on this machine for tests and benchmarks: moto's, which is in the dev extra."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Thread

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local-s3-user",
    "AWS_SECRET_ACCESS_KEY": "local-s3-password",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def is_installed() -> bool:
    return all(find_spec(package) for package in ("moto", "flask_cors"))


@contextmanager
def local_s3() -> Iterator[dict[str, str]]:
    """The environment variables with which pyarrow reaches a new, empty server."""
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        assert server.stdout
        output = ""
        for line in server.stdout:
            output += line
            if found := re.search(r"Running on (http://[\d.:]+)", line):
                break
        else:
            raise RuntimeError(f"The local S3 server did not start: {output[-200:]}")
        # It logs each request, and would stop once the pipe is full.
        log = Thread(target=deque, args=(server.stdout, 0), daemon=True)
        log.start()
        yield {**_ENVIRONMENT, "AWS_ENDPOINT_URL": found[1]}
        server.kill()
        log.join()
    finally:
        server.kill()
        with server:  # closes the pipe and waits
            pass


def create_bucket(name: str) -> None:
    """A new bucket on the server that the environment names."""
    from pyarrow import fs

    endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    filesystem = fs.S3FileSystem(
        endpoint_override=endpoint, scheme="http", allow_bucket_creation=True
    )
    filesystem.create_dir(name)
