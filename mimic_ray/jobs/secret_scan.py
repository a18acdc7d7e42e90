"""Refuses jobs that contain a secret, because the job server stores and displays every request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.redact import HIDDEN, redact

# Keys that are recognised by their format, in any variable.
_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bghp_\w{36}\b|\bhf_[A-Za-z0-9]{30,}\b|-----BEGIN [A-Z ]*KEY"
)
_ADVICE = (
    "the job server shows commands and variables in plain text. Give the nodes a role (instance "
    "profile, service account), or put the secret into a file on them, such as "
    "~/.aws/credentials, or into a mounted Secret"
)


def refuse_secrets(variables: Mapping[str, str], arguments: Iterable[str]) -> None:
    """Raises UsageError with the name of the variable or option, never the value."""
    for name, value in variables.items():
        if _secret(f"{name}={value}"):
            raise UsageError(f"{option('env', name)} looks like a secret, and {_ADVICE}.")
    before = ""
    for argument in arguments:
        # In "--token VALUE" only the option reveals that the value is a secret.
        if _secret(argument) or (before.startswith("--") and _secret(f"{before} {argument}")):
            which = before if before.startswith("--") else argument.partition("=")[0]
            which = redact(which).partition("?")[0]
            raise UsageError(f"{which} seems to contain a secret, and {_ADVICE}.")
        before = argument


def _secret(text: str) -> bool:
    return bool(_SHAPES.search(text)) or HIDDEN in redact(text)
