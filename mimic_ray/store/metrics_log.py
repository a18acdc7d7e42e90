"""The numbers of a run, one row a step: JSON lines while it runs, one Parquet file at the end.

with MetricsLog(folder, committed_step=0) as log:
    for row in distillation.run():      # {"step": 1, "loss": 0.3, ...}
        log.append(row)
log.to_parquet()
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from mimic_ray.base import files
from mimic_ray.base.errors import DiskError, RunFolderError
from mimic_ray.store.run_folder import RunFolder

Row = dict[str, float]


class MetricsLog:
    """Appends rows to metrics.jsonl; each is in the file when `append` returns.

    Opened after a stop, it first cuts the rows after step `keep_until`, which will come again.
    `sum` is what `flush` gave at that step: raises RunFolderError where the rows are others.
    """

    def __init__(self, folder: RunFolder, keep_until: int = 0, sum: str | None = None) -> None:
        self.folder = folder
        found = folder.metrics_log.exists()
        content = "".join(_kept(folder, keep_until))
        self._sum = hashlib.sha256(content.encode())
        if found and sum not in (None, self._sum.hexdigest()):
            raise _damaged(folder.metrics_log, f"does not have the sha256 of step {keep_until}")
        files.write_text(folder.metrics_log, content)
        # Left by a run that was killed between its last row and its end.
        folder.metrics.unlink(missing_ok=True)
        self._file = folder.metrics_log.open("a", buffering=1, encoding="ascii")

    def append(self, row: Mapping[str, float]) -> None:
        """Raises DiskFullError when the row does not fit any more."""
        line = _line(row)
        with files.disk_errors(self.folder.metrics_log):
            self._file.write(line)
        self._sum.update(line.encode())

    def flush(self) -> str:
        """Onto the disk, as a commit wants it: a committed step has its rows after a power cut.

        Returns the sha256 of all rows, for the commit to keep.
        """
        with files.disk_errors(self.folder.metrics_log):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._sum.hexdigest()

    def to_parquet(self) -> None:
        """Closes the log and replaces it by metrics.parquet, a column for every key of any row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.close()
        rows = _read_log(self.folder.metrics_log)
        columns = dict.fromkeys(key for row in rows for key in row)  # in order of appearance
        table = pa.table({key: pa.array([row.get(key) for row in rows]) for key in columns})
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        files.write_bytes(self.folder.metrics, buffer.getvalue())
        self.folder.metrics_log.unlink()

    def close(self) -> None:
        """Raises DiskFullError when a row that was begun does not fit; the file is closed then."""
        with files.disk_errors(self.folder.metrics_log):
            self._file.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except DiskError:
            if error is None:  # otherwise the first error is raised
                raise


def read_metrics(folder: RunFolder) -> list[Row]:
    """All rows, in the order of steps; [] if none was written. Also while the run goes on.

    Raises RunFolderError for a damaged file.
    """
    if folder.metrics_log.exists():
        return _read_log(folder.metrics_log)
    if folder.metrics.exists():
        return _read_parquet(folder.metrics)
    return []


def _kept(folder: RunFolder, keep_until: int) -> list[str]:
    """The lines up to that step. Those after it were not synced: a power cut may have holed them.

    Raises RunFolderError where a line up to that step is damaged.
    """
    if not folder.metrics_log.exists():
        return [_line(row) for row in read_metrics(folder) if row["step"] <= keep_until]
    lines, last = _whole_lines(folder.metrics_log), 0.0
    kept = []
    try:
        for line, row in zip(lines, _rows(lines, folder.metrics_log), strict=False):
            if row["step"] <= keep_until:
                kept.append(f"{line}\n")
                last = row["step"]
    except RunFolderError:
        if last < keep_until:
            raise
    return kept


def _line(row: Mapping[str, float]) -> str:
    return json.dumps(dict(row)) + "\n"


def _read_log(path: Path) -> list[Row]:
    return [*_rows(_whole_lines(path), path)]


def _whole_lines(path: Path) -> list[str]:
    # What follows the last newline was cut by a kill within the write; its step comes again.
    return path.read_text("ascii", errors="replace").split("\n")[:-1]


def _rows(lines: Iterable[str], path: Path) -> Iterable[Row]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            row["step"] += 0  # a row without a step is not valid
        except (ValueError, KeyError, TypeError):
            raise _damaged(path, f"is damaged in line {number}") from None
        yield row


def _damaged(path: Path, how: str) -> RunFolderError:
    return RunFolderError(
        f"{path} {how}: restore it from a copy, or delete it to lose the curves and nothing else."
    )


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise RunFolderError(
            f"{path} is damaged ({type(error).__name__}): restore it from a copy."
        ) from None
    return [{key: value for key, value in row.items() if value is not None} for row in rows]
