from __future__ import annotations

import pytest

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.store.checkpoint_index import latest_content, parse_latest

ENTRIES = [{"step": 4, "manifest": "ab"}, {"step": 2, "manifest": "cd"}]


def test_entries_are_read_back():
    assert parse_latest(latest_content(ENTRIES), "latest.json") == ENTRIES


def test_any_changed_byte_is_reported():
    content = latest_content(ENTRIES)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(DamagedCheckpointError, match=r"run/latest\.json is damaged"):
            parse_latest(bytes(changed), "run/latest.json")
