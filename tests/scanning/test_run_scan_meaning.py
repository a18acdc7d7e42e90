"""What the numbers of a run's scan meant."""

from __future__ import annotations

from pathlib import Path

from mimic_ray.scanning.run_scan_meaning import run_scan_meaning


def test_what_the_numbers_meant_is_a_line_of_the_table_in_the_measurement():
    page = Path(__file__).parents[2] / "docs/measurements/scan_resnet_cifar10_cpu_2026-11.md"
    facts = "0.08 to 0.15 for all, with 1.5 or 22.7 % of the attack left"
    assert facts in page.read_text()
    assert "0.08 to 0.15 whether 1.5 or 22.7 % of the attack was left" in run_scan_meaning(1)
    assert "No figures are known" in run_scan_meaning(0)
