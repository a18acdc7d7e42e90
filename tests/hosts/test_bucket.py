"""Hosts that share only a bucket, as in a cloud."""

from __future__ import annotations

import json
import sys
import time

import pytest

from tests.hosts.conftest import COMMAND_S

pytestmark = [pytest.mark.slow, pytest.mark.ray]

PORT = 9000
SERVER = "http://10.77.0.11:9000"  # on the first host of a Lan
BUCKET = "s3://bucket"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "value",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# On the user's machine: the images as shards and the teacher, into a new bucket.
_UPLOAD = """
import os, subprocess, sys
from pathlib import Path
from mimic_ray.base.storage import open_storage
from pyarrow import fs
server = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
filesystem = fs.S3FileSystem(endpoint_override=server, scheme="http", allow_bucket_creation=True)
for _ in range(100):
    try:
        filesystem.create_dir("bucket")
        break
    except OSError:
        pass
shards = ["shards", "build", sys.argv[1] + "/images", "--out", "/tmp/set"]
subprocess.run([sys.executable, "-m", "mimic_ray", *shards], check=True)
for file in Path("/tmp/set").iterdir():
    open_storage("s3://bucket/set").write(file.name, file)
open_storage("s3://bucket").write("teacher.pth", Path(sys.argv[1], "teacher.pth"))
"""


@pytest.fixture(scope="module")
def hosts(site):
    """A desk with the S3 server and a cluster of two hosts; their shared folder is not used."""
    import numpy as np
    from PIL import Image

    from tests.support import local_s3

    if not local_s3.is_installed():
        pytest.skip("moto, which brings the S3 server, is not installed")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SECRETS, "AWS_ENDPOINT_URL": SERVER}.items():
            patch.setenv(name, value)
        with site("head", "node1") as built:
            desk = built.network["desk"]
            assert desk.address in SERVER
            images = built.network.shared / "case" / "images"
            rng = np.random.default_rng(1)
            for number in range(40, 80):
                coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((32, 32)).save(images / f"{number:03}.png")
            words = f"{sys.executable} -m moto.server -H {desk.address} -p {PORT}"
            with desk.start(["sh", "-c", f"exec {words} > /dev/null 2>&1"]) as server:
                try:
                    upload = [sys.executable, "-c", _UPLOAD, "/mnt/case"]
                    done = desk.run(upload, timeout_s=COMMAND_S)
                    assert done.returncode == 0, done.stderr
                    yield built
                finally:
                    server.kill()


def sent(hosts, name: str, command: str, *more: str, submit: tuple[str, ...] = ()) -> list[str]:
    """The arguments that submit a command of 12 steps with all inputs and outputs in the bucket."""
    return [
        *("submit", "--address", hosts.ray.jobs_url, "--name", name, "--wait", *submit, "--"),
        *(command, "--encoder", "tiny_resnet", "--teacher", f"{BUCKET}/teacher.pth"),
        *("--data", f"{BUCKET}/set", "--out", f"{BUCKET}/{name}", "--threads", "1"),
        *("--set", "training.steps=12", "--set", "training.batch=12"),
        *("--set", "training.precision=fp32", *more),
    ]


def search(hosts, name: str, *more: str, submit: tuple[str, ...] = ()) -> list[str]:
    return sent(hosts, name, "tune", "--trials", "2", "--held-out", "0.4", *more, submit=submit)


def in_bucket(hosts, name: str) -> bytes:
    show = "import sys; from mimic_ray.base.storage import open_storage as o; "
    show += f"sys.stdout.write(o({BUCKET!r}).read_bytes({name!r}).decode())"
    done = hosts.network["desk"].run([sys.executable, "-c", show], timeout_s=COMMAND_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.encode()


def check(hosts, done, study: str, trials: int) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(in_bucket(hosts, f"{study}/study.json"))["status"] == "finished"
    assert f"{BUCKET}/{study}/best.toml" in done.stdout
    state = json.loads(hosts.on("desk", *status(hosts, study)).stdout)["run"]
    assert (state["phase"], state["step"], state["steps"]) == ("search", trials, trials)


def status(hosts, name: str) -> list[str]:
    return ["status", name, "--json", "--address", hosts.ray.jobs_url]


def test_a_search_needs_nothing_but_the_bucket(hosts):
    done = hosts.on("desk", *search(hosts, "study"))
    check(hosts, done, "study", 2)
    # The recipe is read from the bucket, on the cluster.
    purify = sent(hosts, "again", "purify", "--recipe", f"{BUCKET}/study/best.toml")
    assert hosts.on("desk", *purify).returncode == 0


def test_a_trial_of_two_workers_spans_both_hosts(hosts):
    words = search(hosts, "wide", submit=("--workers", "2", "--cpus-per-worker", "1"))
    check(hosts, hosts.on("desk", *words), "wide", 2)


def test_a_search_waits_for_a_host_that_joins_later(hosts):
    """A trial of three workers on a cluster that fits two."""
    three = ("--workers", "3", "--cpus-per-worker", "1", "--address", hosts.ray.address)
    words = sent(hosts, "late", "tune", "--trials", "1", "--held-out", "0.4", *three)
    words = words[words.index("--") + 1 :]
    refused = hosts.on("head", *words)
    assert refused.returncode == 1
    assert "fit 2 workers" in refused.stderr
    assert "--wait-for-capacity" in refused.stderr
    command = hosts.command(*words, "--wait-for-capacity", "300")
    frequent = {**hosts.ray.environment, "MIMIC_RAY_PROGRESS_S": "5"}
    with hosts.network["head"].start(command, environment=frequent) as waiting:
        time.sleep(30)
        assert waiting.poll() is None
        hosts.ray.join(hosts.network.add("node2"))
        stdout, stderr = waiting.communicate(timeout=COMMAND_S)
    assert waiting.returncode == 0, stderr
    assert "Waiting for nodes" in stderr
    assert f"{BUCKET}/late/best.toml" in stdout
    assert json.loads(in_bucket(hosts, "late/study.json"))["workers"] == 3


def test_a_purification_on_both_hosts_ends_like_one_on_a_single_host(hosts):
    alone = hosts.on("desk", *sent(hosts, "one", "purify"))
    assert alone.returncode == 0, alone.stderr
    words = sent(hosts, "two", "purify", submit=("--workers", "2", "--cpus-per-worker", "1"))
    both = hosts.on("desk", *words)
    assert both.returncode == 0, both.stderr
    assert json.loads(in_bucket(hosts, "two/run.json"))["workers"] == 2


def test_a_search_survives_the_loss_of_a_host(hosts):
    """Its trial continues elsewhere from the last checkpoint in the bucket; no trial runs twice."""
    steps = ("--set", "training.steps=1500", "--no-early-stopping", "--trials", "3")
    words = search(hosts, "outlived", *steps, "--address", hosts.ray.address)
    words = words[words.index("--") + 1 :]
    lost = hosts.network.add("lost")
    hosts.ray.join(lost)
    with hosts.network["head"].start(
        hosts.command(*words), environment=hosts.ray.environment
    ) as driver:
        deadline = time.monotonic() + COMMAND_S
        while not lost.processes("ImplicitFunc") and time.monotonic() < deadline:
            time.sleep(1)
        assert lost.processes("ImplicitFunc"), "no trial on the host that is to be lost"
        time.sleep(15)
        lost.kill()
        stdout, stderr = driver.communicate(timeout=COMMAND_S)
    assert driver.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert f"{BUCKET}/outlived/best.toml" in stdout
    assert stderr.count("finished at step 1500") == 3
