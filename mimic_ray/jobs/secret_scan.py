"""What looks like a secret has no place in a job: its server keeps and shows all that is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mimic_ray.base.errors import UsageError
from mimic_ray.base.redact import HIDDEN, redact

# Shapes of keys that are secret by themselves, whatever they are called.
_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bghp_\w{36}\b|\bhf_[A-Za-z0-9]{30,}\b|-----BEGIN [A-Z ]*KEY"
)
_WAY_OUT = (
    "the job server stores and shows commands and variables in clear. Give the nodes a role "
    "(instance profile, service account), or put the secret into a file on them, such as "
    "~/.aws/credentials, or a Secret that is mounted"
)


def refuse_secrets(variables: Mapping[str, str], arguments: Iterable[str]) -> None:
    """Raises UsageError that names the variable or option, never the value."""
    for name, value in variables.items():
        if _secret(f"{name}={value}"):
            raise UsageError(f"--env {name} looks like a secret, and {_WAY_OUT}.")
    before = ""
    for argument in arguments:
        # "--token VALUE" is known by its option alone.
        if _secret(argument) or (before.startswith("--") and _secret(f"{before} {argument}")):
            which = before if before.startswith("--") else argument.partition("=")[0]
            which = redact(which).partition("?")[0]
            raise UsageError(f"{which} holds what looks like a secret, and {_WAY_OUT}.")
        before = argument


def _secret(text: str) -> bool:
    return bool(_SHAPES.search(text)) or HIDDEN in redact(text)
