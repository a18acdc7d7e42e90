"""Which job server is meant, which token it gets, and whether it is safe to talk to.

Ray itself lets RAY_API_SERVER_ADDRESS and RAY_ADDRESS win over an address that is given to its
client, silently; here a contradiction is an error, and what was chosen is what is used.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mimic_ray.base.errors import UsageError
from mimic_ray.base.redact import redact
from mimic_ray.base.text import plain

OPTION = "--address"
_DEFAULT = "http://127.0.0.1:8265"
_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # in Ray's own order


@dataclass(frozen=True)
class JobServer:
    """An address with its origin, both for messages; `token` says where the token is, or ""."""

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
        """What a command needs to find this server again."""
        return "" if self.source != OPTION else f" {OPTION} {self.url}"


def job_server(
    address: str | None,
    *,
    insecure: bool = False,
    environ: MutableMapping[str, str] = os.environ,
) -> JobServer:
    """The server to use. Must be asked before ray is imported, which reads the token's mode once.

    Takes Ray's addresses out of `environ`, so that Ray's client uses this one. Raises UsageError
    where address and environment differ, where an address is none of a job server, where the token
    cannot be read, and for a server without a token that others may reach too.
    """
    url, source = _chosen(address, environ)
    for variable in _VARIABLES:
        environ.pop(variable, None)
    server = JobServer(url, source, _token(environ))
    if not server.token and not server.loopback and url.startswith("http:") and not insecure:
        raise UsageError(
            f"{server} is not on this machine and no token was found: whoever reaches that port "
            "can run code there. Start the head with RAY_AUTH_MODE=token and put its token into "
            "~/.ray/auth_token, or forward the port to this machine (mimic-ray cluster attach "
            "--dashboard), or say --insecure."
        )
    return server


def risks(server: JobServer) -> list[str]:
    """What a careful person would want to know of this connection."""
    if server.token and not server.loopback and server.url.startswith("http:"):
        return [
            "The token travels in clear over http: use it on a network that you trust, or forward "
            "the port."
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
                f"{OPTION} is {url} and {variable} is {plain(redact(value))}: unset {variable}, "
                "or leave one of them out."
            )
    return url, OPTION


def _url(text: str, source: str) -> str:
    url = _normal(text)
    parts = urlsplit(url)
    shown = plain(redact(text))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{source} is {shown}, which is no job server: give http://HEAD:8265, the address of "
            "the head's dashboard."
        )
    if "@" in parts.netloc:
        raise UsageError(
            f"{source} is {shown}: leave the secret out, others can see command lines."
        )
    return url


def _normal(text: str) -> str:
    """`head:8265` -> `http://head:8265`."""
    text = text.strip()
    return (text if "://" in text or text == "auto" else f"http://{text}").rstrip("/")


def _token(environ: MutableMapping[str, str]) -> str:
    """Where the token is, "" without one; sets the mode, without which Ray does not send it."""
    mode = environ.get("RAY_AUTH_MODE")
    if mode not in (None, "", "token"):
        return ""
    found = _found_token(environ)
    if found:
        environ["RAY_AUTH_MODE"] = "token"
    elif mode == "token":
        raise UsageError(
            "RAY_AUTH_MODE is token and there is none: put the cluster's token into "
            "~/.ray/auth_token, or name its file in RAY_AUTH_TOKEN_PATH."
        )
    else:
        # Unset, Ray would make a token of its own, which no head knows.
        environ["RAY_AUTH_MODE"] = "disabled"
    return found


def _found_token(environ: MutableMapping[str, str]) -> str:
    if environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    if named := environ.get("RAY_AUTH_TOKEN_PATH"):
        path = Path(named).expanduser()
        if not _holds_text(path):
            raise UsageError(
                f"RAY_AUTH_TOKEN_PATH names {plain(named)}, which cannot be read or is empty: it "
                "must hold the cluster's token."
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
