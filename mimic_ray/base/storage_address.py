"""Addresses of storage, and the pyarrow file system that each of them means.

    s3://bucket/prefix      gs://bucket/prefix      file:///folder      a plain path

What an endpoint needs is said by the environment (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL,
AWS_REGION, the usual credentials of either cloud) or in the address, which never holds a secret:
`s3://bucket/prefix?endpoint_override=minio:9000&scheme=http&region=eu-west-1&anonymous=true`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mimic_ray.base.errors import UsageError
from mimic_ray.base.hub_address import download_advice
from mimic_ray.base.redact import redact
from mimic_ray.base.text import plain

_SCHEMES = ("s3", "gs", "file")
_SETTINGS = {"endpoint_override", "scheme", "region", "anonymous"}
# No call waits for ever: a silent connection is dropped, tried again, and given up.
ATTEMPTS = 3
_CONNECT_S = 5.0
_SILENCE_S = 15.0  # without one byte


@dataclass(frozen=True)
class Address:
    """The parts of a location. `shown` is for messages: it has neither a query nor a user."""

    scheme: str
    path: str  # "bucket/prefix", or the path of a local folder
    settings: Mapping[str, str]

    @property
    def shown(self) -> str:
        return self.path if self.scheme == "file" else f"{self.scheme}://{self.path}"

    @property
    def remote(self) -> bool:
        return self.scheme != "file"

    @property
    def bucket(self) -> str:
        return self.path.partition("/")[0]


def is_remote(text: str | Path) -> bool:
    """Whether `text` is an address that is not on this machine's own file system."""
    scheme, separator, _ = str(text).partition("://")
    return bool(separator) and scheme.lower() != "file"


def below(text: str | Path, name: str) -> str:
    """The address, or path, of `name` below another; settings stay where they are."""
    base, question, settings = str(text).partition("?") if is_remote(text) else (str(text), "", "")
    return f"{base.rstrip('/')}/{name}{question}{settings}"


def parse(text: str | Path) -> Address:
    """Raises UsageError for another scheme, a secret in the address or an unknown setting."""
    shown = plain(redact(str(text)))
    if "://" not in str(text):
        return Address("file", str(Path(text).expanduser()), {})
    # Braces, stars and percent signs in names are not for urlsplit to judge.
    parts = urlsplit(str(text), allow_fragments=False)
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        advice = download_advice(str(text)) or "Give s3://, gs:// or a path."
        raise UsageError(f"{shown}: no storage is called {scheme}://. {advice}")
    if "@" in parts.netloc:
        raise UsageError(
            f"{shown} holds a secret, and others can see command lines: leave it out and set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role."
        )
    settings = dict(parse_qsl(parts.query))
    if unknown := sorted(set(settings) - _SETTINGS):
        raise UsageError(
            f"{shown}: unknown setting {plain(unknown[0], 40)}; there are "
            f"{', '.join(sorted(_SETTINGS))}."
        )
    if scheme == "file":
        return Address("file", unquote(parts.netloc + parts.path), {})
    if not parts.netloc:
        raise UsageError(f"{shown} names no bucket: give {scheme}://BUCKET/PREFIX.")
    return Address(scheme, f"{parts.netloc}{parts.path}".rstrip("/"), settings)


def filesystem_of(address: Address) -> Any:
    """The pyarrow file system of an address, with timeouts."""
    from pyarrow import fs

    settings = address.settings
    anonymous = settings.get("anonymous", "").lower() in ("1", "true", "yes")
    if address.scheme == "file":
        return fs.LocalFileSystem()
    if address.scheme == "gs":
        return fs.GcsFileSystem(
            anonymous=anonymous,
            endpoint_override=settings.get("endpoint_override"),
            scheme=settings.get("scheme"),
            retry_time_limit=timedelta(seconds=ATTEMPTS * _SILENCE_S),
        )
    scheme, endpoint = _s3_endpoint(settings)
    return fs.S3FileSystem(
        anonymous=anonymous,
        scheme=scheme,
        endpoint_override=endpoint,
        region=_s3_region(settings, address.bucket, endpoint),
        connect_timeout=_CONNECT_S,
        request_timeout=_SILENCE_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _s3_endpoint(settings: Mapping[str, str]) -> tuple[str | None, str | None]:
    """(scheme, host:port); None where Amazon's own is meant."""
    url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    named = settings.get("endpoint_override") or url
    scheme, separator, host = named.partition("://")
    if separator:
        return settings.get("scheme") or scheme, host.rstrip("/")
    return settings.get("scheme"), named or None


def _s3_region(settings: Mapping[str, str], bucket: str, endpoint: str | None) -> str:
    from pyarrow import fs

    named = settings.get("region") or os.environ.get("AWS_REGION")
    if named := named or os.environ.get("AWS_DEFAULT_REGION"):
        return named
    # Servers other than Amazon's take any region, and cannot be asked for it.
    return "us-east-1" if endpoint else str(fs.resolve_s3_region(bucket))
