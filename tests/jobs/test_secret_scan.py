"""Secrets are not sent to a job server, which stores and displays every request."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.jobs.secret_scan import refuse_secrets

ACCESS_KEY = (
    "AKIA" + "IOSFODNN7EXAMPLE"
)  # Amazon's example, split so that secret scanners ignore it


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "a" * 40),
        ("HF_TOKEN", "hf_" + "x" * 34),
        ("DB_PASSWORD", "hunter22"),
        ("MY_SECRET", "hunter22"),
        ("HARMLESS", ACCESS_KEY),
        ("PROXY", "http://me:hunter22@proxy:3128"),
    ],
)
def test_a_variable_with_a_secret_is_named_without_its_value(name, value):
    with pytest.raises(UsageError) as refused:
        refuse_secrets({name: value}, [])
    assert name in refused.value.message
    assert value not in refused.value.message
    assert "role" in refused.value.message  # the advice


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "s3://me:hunter22@bucket/images"],
        ["--data", "https://bucket.example/x?X-Amz-Signature=hunter22"],
        ["--api-key", "hunter22"],
        ["--token=hunter22"],
        ["--set", "some.password=hunter22"],
        ["--out", f"s3://bucket/{ACCESS_KEY}"],
    ],
)
def test_an_argument_with_a_secret_is_refused_and_not_shown(arguments):
    with pytest.raises(UsageError) as refused:
        refuse_secrets({}, ["purify", *arguments])
    assert "hunter22" not in refused.value.message
    assert ACCESS_KEY not in refused.value.message


def test_commands_without_secrets_pass():
    refuse_secrets(
        {"GLOO_SOCKET_IFNAME": "eth0", "AWS_REGION": "eu-west-1", "OMP_NUM_THREADS": "4"},
        [
            *("purify", "--encoder", "vit_b16", "--teacher", "s3://bucket/keys/teacher.pth"),
            *("--data", "s3://bucket/monkey-tokens", "--set", "training.batch=256"),
        ],
    )
