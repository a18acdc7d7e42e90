"""What an evaluation found, as plain data: shown by tables and plots, kept as evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Proportion:
    """`successes` of `total`, with a 95 % interval `low` to `high` in [0, 1]."""

    successes: int
    total: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """In [0, 1]; NaN of nothing."""
        return self.successes / self.total if self.total else float("nan")


@dataclass(frozen=True)
class EvaluationRow:
    """One encoder. None: not measured, for lack of a trigger or of a reference encoder."""

    encoder: str
    acc: Proportion
    asr: Proportion | None = None
    asr_b: Proportion | None = None


@dataclass(frozen=True)
class Evaluation:
    """Several encoders under the same test; `settings` names it (trigger, target, head, seeds)."""

    rows: tuple[EvaluationRow, ...]
    settings: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Evaluation:
        """Raises KeyError or TypeError for what `to_json` did not make."""
        rows = tuple(
            EvaluationRow(
                encoder=row["encoder"],
                acc=Proportion(**row["acc"]),
                asr=Proportion(**row["asr"]) if row["asr"] else None,
                asr_b=Proportion(**row["asr_b"]) if row["asr_b"] else None,
            )
            for row in content["rows"]
        )
        return cls(rows, dict(content["settings"]))
