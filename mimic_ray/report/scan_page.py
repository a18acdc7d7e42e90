"""scan.html: the verdict of a scan, what was found, and what it means, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.report.html_page import document, picture, table, text
from mimic_ray.report.scan_picture import draw_scan
from mimic_ray.report.scan_words import HEADS, cells, openings_table, sentences
from mimic_ray.report.table_files import write_tables
from mimic_ray.scanning.openings import Images, Opening
from mimic_ray.scanning.scan_result import ScanResult

_COLUMNS = (
    (
        "gathering",
        "mean cosine between the centred features of different held-out images with the change: "
        "about 0 for plain images, near 1 if all images look the same to the encoder",
    ),
    ("landing", "cosine of the mean of these features with that of the nearest real image"),
    ("one cluster", "share of held-out images whose feature falls into one cluster of real images"),
    ("score", "gathering x landing, less the gathering of the reference if there is one"),
    ("reference, student", "gathering of those encoders under the same change"),
)


def write_scan(
    folder: Path, result: ScanResult, openings: Sequence[Opening], images: Images
) -> None:
    """Writes scan.html and scan.json, the picture and the table of the openings, each in three
    formats; `openings` are those of the result's rows."""
    drawn = folder / "scan.png"
    draw_scan(openings, images, drawn)
    write_scan_page(result, drawn, folder / "scan.html")
    write_tables(folder, "scan", openings_table(result))
    files.write_json(folder / "scan.json", result.to_json())


def write_scan_page(result: ScanResult, drawn: Path, path: Path) -> None:
    """Writes the page; the picture at `drawn` becomes part of it."""
    verdict, *others = sentences(result)
    facts = [(name, str(value)) for name, value in result.settings.items() if value is not None]
    population = [(name, str(value)) for name, value in result.calibration["population"].items()]
    separation = result.calibration.get("separation") or {}
    body = [
        f"<h1>{text(verdict)}</h1>",
        *(f"<p>{text(sentence)}</p>" for sentence in others),
        "<h2>What the encoder answers to</h2>",
        picture(drawn, "changes on three images"),
        table(HEADS, [cells(row) for row in result.openings]),
        table(("", ""), _COLUMNS),
        "<h2>Calibration</h2>",
        table(("", ""), [*population, *((k, f"{v}") for k, v in separation.items())]),
        "<h2>Scan</h2>",
        table(("", ""), [*facts, ("CPU seconds", f"{result.seconds:.0f}")]),
    ]
    files.write_text(path, document(f"Scan: {result.verdict.value}", body))
