from __future__ import annotations

import errno

import pyarrow.parquet as pq
import pytest

from mimic_ray.base.errors import DiskFullError, RunFolderError
from mimic_ray.store.metrics_log import MetricsLog, read_metrics


def write(folder, steps, keep_until=0):
    with MetricsLog(folder, keep_until=keep_until) as log:
        for step in steps:
            log.append({"step": step, "loss": 1 / step})


def steps(folder):
    return [row["step"] for row in read_metrics(folder)]


def test_a_row_is_readable_as_soon_as_it_is_appended(folder):
    with MetricsLog(folder) as log:
        log.append({"step": 1, "loss": 0.5})
        assert read_metrics(folder) == [{"step": 1, "loss": 0.5}]


def test_rows_after_the_committed_step_are_cut_on_resume(folder):
    write(folder, range(1, 8))
    write(folder, range(6, 9), keep_until=5)
    assert steps(folder) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_torn_last_line_costs_that_row_only(folder):
    write(folder, range(1, 4))
    folder.metrics_log.write_text(folder.metrics_log.read_text()[:-5])
    assert steps(folder) == [1, 2]
    write(folder, [3], keep_until=2)
    assert steps(folder) == [1, 2, 3]


def test_a_line_broken_in_the_middle_is_named(folder):
    write(folder, range(1, 4))
    folder.metrics_log.write_text(folder.metrics_log.read_text().replace('{"step": 2', '{"st', 1))
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl is damaged in line 2"):
        read_metrics(folder)


def test_parquet_holds_every_row_and_column_in_place_of_the_log(folder):
    with MetricsLog(folder) as log:
        log.append({"step": 1, "loss": 0.5})
        log.append({"step": 2, "loss": 0.25, "attention": 3})
        rows = read_metrics(folder)
        log.to_parquet()
    assert not folder.metrics_log.exists()
    assert read_metrics(folder) == rows
    assert pq.read_table(folder.metrics).column("attention").to_pylist() == [None, 3]


def test_a_run_killed_between_its_last_row_and_its_end_goes_on(folder):
    write(folder, range(1, 8))
    MetricsLog(folder, keep_until=7).to_parquet()
    write(folder, [6], keep_until=5)
    assert steps(folder) == [1, 2, 3, 4, 5, 6]
    assert not folder.metrics.exists()


def test_a_run_without_rows_has_none(folder):
    assert read_metrics(folder) == []


def test_damaged_parquet_is_named(folder):
    folder.metrics.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(RunFolderError, match=r"metrics\.parquet is damaged"):
        read_metrics(folder)


def test_a_full_disk_is_a_sentence(folder, monkeypatch):
    with MetricsLog(folder) as log:

        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(DiskFullError, match="No space left"):
            log.flush()
