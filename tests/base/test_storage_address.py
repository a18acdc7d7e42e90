"""Addresses in their parts; which endpoint and region they mean. Nothing here connects."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.base import storage_address
from mimic_ray.base.errors import UsageError
from mimic_ray.base.storage_address import below, is_remote, parse


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "scheme", "path", "shown"),
    [
        ("s3://bucket/a/b/", "s3", "bucket/a/b", "s3://bucket/a/b"),
        ("S3://bucket", "s3", "bucket", "s3://bucket"),
        ("gs://bucket/set-{000..009}*.tar", "gs", "bucket/set-{000..009}*.tar", None),
        ("s3://bucket/100%/x", "s3", "bucket/100%/x", None),
        ("file:///tmp/a%20b", "file", "/tmp/a b", "/tmp/a b"),
        ("/tmp/a b", "file", "/tmp/a b", "/tmp/a b"),
        ("folder", "file", "folder", "folder"),
    ],
)
def test_an_address_is_read_into_its_parts(text, scheme, path, shown):
    address = parse(text)
    assert (address.scheme, address.path) == (scheme, path)
    assert address.remote == (scheme != "file")
    assert shown is None or address.shown == shown


def test_settings_are_read_and_not_displayed():
    address = parse("s3://bucket/x?endpoint_override=minio:9000&scheme=http")
    assert address.settings == {"endpoint_override": "minio:9000", "scheme": "http"}
    assert address.shown == "s3://bucket/x"
    assert address.bucket == "bucket"


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("~/images").path == str(tmp_path / "images")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host/x", "ftp://"),
        ("s3://", "bucket"),
        ("s3://bucket/x?regon=eu", "regon"),
    ],
)
def test_an_address_that_cannot_be_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        parse(text)


def test_a_secret_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(UsageError) as refused:
        parse("s3://key:hunter2@bucket/x")
    assert "hunter2" not in str(refused.value)
    assert "AWS_SECRET_ACCESS_KEY" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s3://b/x", True), ("FILE:///x", False), ("x", False), (Path("/x"), False)],
)
def test_what_lies_on_this_machine_is_not_remote(text, expected):
    assert is_remote(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://b/x?region=eu", "s3://b/x/run.json?region=eu"),
        ("s3://b/x/", "s3://b/x/run.json"),
        ("/a/why?", "/a/why?/run.json"),
    ],
)
def test_a_name_goes_below_an_address_and_before_its_settings(text, expected):
    assert below(text, "run.json") == expected


@pytest.mark.parametrize(
    ("settings", "variables", "expected"),
    [
        ({}, {}, (None, None)),
        ({}, {"AWS_ENDPOINT_URL": "http://minio:9000/"}, ("http", "minio:9000")),
        (
            {},
            {"AWS_ENDPOINT_URL": "http://other", "AWS_ENDPOINT_URL_S3": "https://minio"},
            ("https", "minio"),
        ),
        (
            {"endpoint_override": "minio:9000", "scheme": "http"},
            {"AWS_ENDPOINT_URL": "https://other"},
            ("http", "minio:9000"),
        ),
    ],
)
def test_the_address_decides_the_endpoint_before_the_environment(
    monkeypatch, settings, variables, expected
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert storage_address._s3_endpoint(settings) == expected


def test_the_region_is_stated_or_that_of_a_server_that_takes_any(monkeypatch):
    region = storage_address._s3_region
    assert region({}, "bucket", "minio:9000") == "us-east-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert region({}, "bucket", "minio:9000") == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert region({}, "bucket", "minio:9000") == "eu-central-1"
    assert region({"region": "ap-south-1"}, "bucket", None) == "ap-south-1"
