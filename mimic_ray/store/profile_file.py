"""Profile <-> profile.parquet: one row a tap, how it was estimated in the file's metadata."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import RunFolderError
from mimic_ray.method.mi_profile import Profile

_ESTIMATE = b"mimic_ray.estimate"


def write_profile(path: Path, profile: Profile) -> None:
    """By rename. Columns: tap, score, untrained (its score), share, kept, weight."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    estimate = {"of": profile.of, "estimator": profile.estimator, "images": profile.images}
    table = pa.Table.from_pylist([asdict(tap) for tap in profile.taps]).replace_schema_metadata(
        {_ESTIMATE: json.dumps(estimate).encode()}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    files.write_bytes(path, buffer.getvalue())


def read_profile(path: Path) -> Profile:
    """Raises RunFolderError when the file is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        estimate = json.loads(table.schema.metadata[_ESTIMATE])
        return Profile.from_json({**estimate, "taps": table.to_pylist()})
    except FileNotFoundError:
        raise RunFolderError(
            f"{path.parent} has no {path.name}: no profile was made yet."
        ) from None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{path} is damaged ({type(error).__name__}): restore it from a copy, or make it again "
            "with mimic-ray profile."
        ) from None
