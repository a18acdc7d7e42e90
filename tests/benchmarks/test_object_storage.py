"""Reading from an S3 server that answers late, at a small size."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks.object_storage import main

pytestmark = pytest.mark.slow


def test_copies_need_few_requests_and_are_faster_than_ranges(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")  # restored afterwards, with what main() sets
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path))
    monkeypatch.setenv("MIMIC_RAY_CACHE_GIB", "1")
    monkeypatch.setattr(sys, "argv", ["object_storage", "--images", "128", "--delays", "30"])
    main()
    rows = {}
    for line in capsys.readouterr().out.splitlines()[2:]:
        name, first, second, requests = re.split(r"\s{2,}", line.strip())
        rows[name] = (float(first), float(second), requests)
    assert list(rows) == [
        "local disk",
        "30 ms, webdataset",
        *(f"30 ms, {k}, 1 host" for k in _KINDS),
    ]
    copies, ranges = (rows[f"30 ms, {kind}, 1 host"] for kind in _KINDS)
    assert copies[0] > ranges[0]
    # No request leaves the machine in the second epoch.
    assert copies[1] > 5 * ranges[1]
    count = lambda row: float(row[2].split()[0])  # noqa: E731
    assert count(copies) < 100 < count(ranges)


_KINDS = ("copies", "ranges")
