"""What the scan at the end of a purification meant on encoders whose attack is known."""

from __future__ import annotations

# From docs/measurements/scan_resnet_cifar10_cpu_2026-11.md, "Purified encoders".
_KNOWN = (
    "On eight students of an earlier version, whose attacks are known, the score was 0.08 to "
    "0.15 whether 1.5 or 22.7 % of the attack was left, so closed openings do not show that a "
    "backdoor is gone (docs/how-to/scan.md)."
)
_UNKNOWN = (
    "No figures are known for students that were not trained on openings; closed openings do not "
    "show that a backdoor is gone (docs/how-to/scan.md)."
)


def run_scan_meaning(imitated: int) -> str:
    """A sentence; `imitated` is the number of openings that the student was trained on."""
    return _KNOWN if imitated else _UNKNOWN
