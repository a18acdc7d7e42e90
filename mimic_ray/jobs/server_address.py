"""The address of the job server, its token, and whether the connection is safe.

In Ray's client, RAY_API_SERVER_ADDRESS and RAY_ADDRESS silently override the address that is passed
to it. Here, contradictory addresses are an error.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.redact import redact
from mimic_ray.base.text import plain

OPTION = "--address"
_DEFAULT = "http://127.0.0.1:8265"
_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # in Ray's own order


@dataclass(frozen=True)
class JobServer:
    """The address, its source, and the source of the token ("" without one)."""

    url: str
    source: str
    token: str = ""

    def __str__(self) -> str:
        return f"{self.url} (from {self.source})"

    @property
    def loopback(self) -> bool:
        return _is_loopback(urlsplit(self.url).hostname or "")

    @property
    def option(self) -> str:
        """The option that another command needs to use this server."""
        return "" if self.source != OPTION else f" {OPTION} {self.url}"


def job_server(
    address: str | None,
    *,
    insecure: bool = False,
    environ: MutableMapping[str, str] = os.environ,
) -> JobServer:
    """The server to use. Call it before importing ray, which reads RAY_AUTH_MODE only once.

    Removes Ray's addresses from `environ`, so that Ray's client uses this one. Raises UsageError if
    the addresses differ, are not those of a job server or contain a secret; if the token cannot be
    read; and for a remote server without a token.
    """
    url, source = _chosen(address, environ)
    for variable in _VARIABLES:
        environ.pop(variable, None)
    server = JobServer(url, source, _token(environ))
    if not server.token and not server.loopback and url.startswith("http:") and not insecure:
        raise UsageError(
            f"{server} is a remote server without a token: anyone who reaches that port can run "
            "code there. Start the head with RAY_AUTH_MODE=token and put its token into "
            "~/.ray/auth_token, forward the port to this machine (mimic-ray cluster attach FILE "
            f"--dashboard), or use {option('insecure')}."
        )
    return server


def risks(server: JobServer) -> list[str]:
    """Warnings about the connection."""
    if server.token and not server.loopback and server.url.startswith("http:"):
        return [
            "The token is sent in plain text over http: use a trusted network, or forward the port."
        ]
    return []


def _chosen(address: str | None, environ: MutableMapping[str, str]) -> tuple[str, str]:
    named = [(variable, environ[variable]) for variable in _VARIABLES if environ.get(variable)]
    if address is None:
        if not named:
            return _DEFAULT, "the default"
        variable, value = named[0]
        return _url(value, variable), variable
    url = _url(address, OPTION)
    for variable, value in named:
        if _normal(value) != url:
            raise UsageError(
                f"{OPTION} is {url}, but {variable} is {plain(redact(value))}: unset {variable} or "
                f"remove {OPTION}."
            )
    return url, OPTION


def _url(text: str, source: str) -> str:
    url = _normal(text)
    parts = urlsplit(url)
    shown = plain(redact(text))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{source} is {shown}, which is not the address of a job server: use that of the "
            "head's dashboard, such as http://HEAD:8265."
        )
    if "@" in parts.netloc:
        raise UsageError(
            f"{source} is {shown}: remove the secret, since other users can see command lines."
        )
    return url


def _normal(text: str) -> str:
    """`head:8265` -> `http://head:8265`."""
    text = text.strip()
    return (text if "://" in text or text == "auto" else f"http://{text}").rstrip("/")


def _token(environ: MutableMapping[str, str]) -> str:
    """The source of the token, "" without one. Sets RAY_AUTH_MODE, without which Ray sends none."""
    mode = environ.get("RAY_AUTH_MODE")
    if mode not in (None, "", "token"):
        return ""
    found = _found_token(environ)
    if found:
        environ["RAY_AUTH_MODE"] = "token"
    elif mode == "token":
        raise UsageError(
            "RAY_AUTH_MODE is token, but no token was found: put the cluster's token into "
            "~/.ray/auth_token, or set RAY_AUTH_TOKEN_PATH to its file."
        )
    else:
        # Otherwise Ray generates a token, which the head does not know.
        environ["RAY_AUTH_MODE"] = "disabled"
    return found


def _found_token(environ: MutableMapping[str, str]) -> str:
    if environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    if named := environ.get("RAY_AUTH_TOKEN_PATH"):
        path = Path(named).expanduser()
        if not _holds_text(path):
            raise UsageError(
                f"RAY_AUTH_TOKEN_PATH is {plain(named)}, which is empty or cannot be read: it must "
                "contain the cluster's token."
            )
        return str(path)
    usual = Path(environ.get("HOME", "~")).expanduser() / ".ray" / "auth_token"
    return str(usual) if _holds_text(usual) else ""


def _holds_text(path: Path) -> bool:
    try:
        return bool(path.read_text().strip())
    except (OSError, UnicodeDecodeError):
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
