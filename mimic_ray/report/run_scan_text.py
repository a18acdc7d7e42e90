"""The scan of a run in words, for the terminal and the model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.report.scan_words import NO_PROOF


def scan_lines(scan: Mapping[str, Any]) -> Iterator[str]:
    """`before: suspect, score 0.95; after: no evidence, score 0.10`, the openings closed and left,
    and what such numbers meant where the truth is known.
    """
    if why := scan.get("failed") or scan.get("off"):
        yield f"not done: {why}"
        return
    yield f"before: {_verdict(scan['before'])}; after: {_verdict(scan['after'])}"
    yield from dict.fromkeys(
        scan[name]["reason"] for name in ("before", "after") if scan[name]["score"] is None
    )
    yield from _openings(scan)


def scan_around(scan: Mapping[str, Any], purified: str) -> Iterator[tuple[str, str]]:
    """The same as names and texts in the order of the work, with `purified` between the scans."""
    if "before" not in scan:
        yield from (("purified", purified), *(("scan", line) for line in scan_lines(scan)))
        return
    yield "scan before", _verdict(scan["before"])
    yield "purified", purified
    yield "scan after", _verdict(scan["after"])
    yield from (("", line) for line in _openings(scan))


def _openings(scan: Mapping[str, Any]) -> Iterator[str]:
    if scan["openings"]:
        left = scan["openings"] - scan["closed"]
        yield f"{scan['closed']} of {scan['openings']} openings closed, {left} left"
    if "meaning" in scan:
        yield scan["meaning"]


def scan_section(scan: Mapping[str, Any], picture: str, imitated: int = 0) -> list[str]:
    """The section of the model card, in Markdown; `imitated` openings were part of the training."""
    if "failed" in scan:
        return ["### Scan", "", f"There is no scan: {scan['failed']}"]
    before, after = (_verdict(scan[name]) for name in ("before", "after"))
    lines = [
        "### Scan",
        "",
        "A search for changes that give all images the same feature, as a trigger does. It needs "
        "no trigger and no labels.",
        "",
        "| encoder | verdict | reason |",
        "|:--|:--|:--|",
        f"| suspect, as it came in | {before} | {scan['before']['reason']} |",
        f"| student | {after} | {scan['after']['reason']} |",
        "",
    ]
    if scan["openings"]:
        left = scan["openings"] - scan["closed"]
        lines += [
            f"{scan['openings']} of the changes gathered the suspect's features (mean cosine of "
            f"0.5 or more). For {scan['closed']} of them the student's cosine is at most half of "
            f"that; {left} {'is' if left == 1 else 'are'} left. Ordinary encoders also answer to "
            "some changes, so an opening does not prove a backdoor.",
            "",
        ]
    if imitated:
        lines += [
            "The student was trained on openings that the same search found on other images, so "
            "this scan is not independent evidence for it. On eight students of an earlier "
            "version, whose attacks are known, the score was 0.08 to 0.15 whether 1.5 or 22.7 % of "
            "the attack was left (docs/measurements/scan_resnet_cifar10_cpu_2026-11.md).",
            "",
        ]
    return [
        *lines,
        f"{NO_PROOF} The limits of the verdict were set on encoders that were never purified. "
        "scan.html has the details.",
        "",
        f"![changes that the suspect answers to]({picture})",
    ]


def _verdict(one: Mapping[str, Any]) -> str:
    score = one["score"]
    return one["verdict"] if score is None else f"{one['verdict']}, score {score:.2f} of 1"
