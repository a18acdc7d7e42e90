"""Models of the Hugging Face hub as users name them, and what to do about other web addresses.

hf://OWNER/NAME      hf://OWNER/NAME@REVISION      hf://OWNER/NAME/FILE
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.errors import UsageError
from mimic_ray.base.text import plain

_WORD = r"[A-Za-z0-9][\w.-]{0,95}"
_ADDRESS = re.compile(rf"hf://({_WORD}/{_WORD})(?:@(refs/[\w.-]+/[\w.-]+|[\w.-]+))?(?:/(.+))?/?")
_BARE = re.compile(rf"({_WORD}/{_WORD})")
_PAGE = re.compile(
    rf"https?://(?:huggingface\.co|hf\.co)/({_WORD}/{_WORD})"
    r"(?:/(?:blob|resolve|raw|tree)/([\w.-]+)(?:/([^?]+))?)?/?(?:\?.*)?"
)


@dataclass(frozen=True)
class HubAddress:
    """A model, and one file of it or "" for the whole."""

    model: str  # OWNER/NAME
    revision: str  # a branch, tag or commit; "" for the main branch
    file: str


def is_hub(location: str | Path) -> bool:
    return str(location).lower().startswith("hf://")


def parse_hub(location: str) -> HubAddress:
    """Raises UsageError for an address without an owner or a name."""
    found = _ADDRESS.fullmatch("hf://" + location[5:])
    file = (found[3] or "").rstrip("/") if found else ""
    if found is None or {"..", "."} & set(file.split("/")):
        raise UsageError(
            f"{plain(location)} is not a model of the hub: give hf://OWNER/NAME, "
            "hf://OWNER/NAME@REVISION or hf://OWNER/NAME/FILE."
        )
    return HubAddress(found[1], found[2] or "", file)


def download_advice(location: str | Path) -> str:
    """A sentence on how to get what a web address or the bare name of a model means; "" for any
    other location."""
    text = str(location)
    if page := _PAGE.fullmatch(text):
        model, revision, file = page.groups()
        at = f"@{revision}" if revision and revision != "main" else ""
        below = f"/{file}" if file else ""
        return f"Give {plain(f'hf://{model}{at}{below}')}, or download it first."
    if is_hub(text):
        return "Only a checkpoint can be a model of the hub: download anything else first."
    if re.match(r"(https?|ftp)://", text, re.IGNORECASE):
        return "Web addresses are not read: download it first (`curl -LO ADDRESS`)."
    if bare := _BARE.fullmatch(text):
        return (
            f"If it is a model of the Hugging Face hub, give hf://{bare[1]}, or download it first: "
            f"`hf download {bare[1]} --local-dir {bare[1].rpartition('/')[2]}`."
        )
    return ""
