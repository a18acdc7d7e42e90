"""Removes secrets from files that people share: run folders, logs, model cards.

It hides the values of names that end in key, token, secret or password (`AWS_SECRET_KEY=...`,
`--token ...`, entries of a mapping), `Bearer ...`, user info and query strings of URLs, and the
values of environment variables with such a name wherever they occur.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "[redacted]"

_NAME = r"[\w.-]*(?:[_-]|\b)(?:api|access)?(?:key|token|secret|password)"
_SECRET_NAME = re.compile(rf"{_NAME}$", re.IGNORECASE)
_ASSIGNED = re.compile(rf"(?<![\w.-])({_NAME}['\"]?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;]+)", re.I)
_OPTION = re.compile(rf"(--{_NAME}\s+)(\"[^\"]*\"|'[^']*'|\S+)", re.IGNORECASE)
_BEARER = re.compile(r"(\bBearer\s+)\S+", re.IGNORECASE)
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@'\"]+@", re.IGNORECASE)
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?'\"]*\?)[^\s'\"]+", re.IGNORECASE)

# Shorter values ("1", "true", "none") occur in ordinary text.
_SHORTEST_SECRET = 8


def redact(content: Any) -> Any:
    """`content` (a text, or nested mappings and lists of texts) with every secret replaced."""
    if isinstance(content, str):
        return _redact_text(content)
    if isinstance(content, Mapping):
        return {
            key: HIDDEN if _names_a_secret(key) and value else redact(value)
            for key, value in content.items()
        }
    if isinstance(content, list | tuple):
        return [redact(item) for item in content]
    return content


def _redact_text(text: str) -> str:
    for name, value in os.environ.items():
        if _names_a_secret(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, HIDDEN)
    text = _USER_INFO.sub(rf"\1{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    for pattern in (_BEARER, _OPTION, _ASSIGNED):
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def _names_a_secret(name: object) -> bool:
    # "key" alone names an image or a tensor.
    return isinstance(name, str) and name != "key" and bool(_SECRET_NAME.search(name))
