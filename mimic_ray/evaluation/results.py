"""The results of an evaluation as plain data, for tables, plots and evaluation.json.

Heads with several seeds are trained on the same features and tested on the same images, also those
of several encoders in one row. A row is their mean. Its interval covers encoders, heads and images
(evaluated_row.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mimic_ray.base.frames import to_frame
from mimic_ray.evaluation.intervals import wilson

# What is measured after further training.
LASTING = ("acc_distilled", "asr_distilled", "acc_tuned", "asr_tuned")


@dataclass(frozen=True)
class Proportion:
    """`successes` of `total`, with a 95 % interval `low` to `high` in [0, 1].

    The mean of several heads may count a fraction of an image as a success.
    """

    successes: float
    total: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """successes / total in [0, 1], NaN if `total` is 0."""
        return self.successes / self.total if self.total else float("nan")

    @classmethod
    def of(cls, successes: float, total: int) -> Proportion:
        """A proportion with its Wilson interval."""
        return cls(successes, total, *wilson(successes, total))

    @staticmethod
    def columns(name: str, proportion: Proportion | None) -> dict[str, float | None]:
        """The share as column `name`, its interval as `name_low` and `name_high`; None if it was
        not measured."""
        return {
            name: proportion.share if proportion else None,
            f"{name}_low": proportion.low if proportion else None,
            f"{name}_high": proportion.high if proportion else None,
        }


@dataclass(frozen=True)
class Score:
    """The result of one head with one seed on one encoder, the one with that number in its row."""

    seed: int
    acc: Proportion
    asr: Proportion | None = None
    encoder: int = 0


@dataclass(frozen=True)
class EvaluationRow:
    """The mean over `scores`, one per encoder and seed of the head, for one kind of head.

    Several encoders are purifications with several seeds, each with as many heads. None means not
    measured, without a trigger, a reference encoder, or a suspect one to distil from again.
    """

    encoder: str
    acc: Proportion
    asr: Proportion | None = None
    asr_b: Proportion | None = None
    head: str = ""
    acc_distilled: Proportion | None = None  # ACC after plain distillation from the suspect
    asr_distilled: Proportion | None = None  # ASR after it
    acc_tuned: Proportion | None = None  # ACC of a user's model, fine-tuned on few labelled images
    asr_tuned: Proportion | None = None  # ASR of it
    failure: str = (
        ""  # why a measurement after further training is missing, of some encoders or all
    )
    scores: tuple[Score, ...] = ()

    @property
    def encoders(self) -> int:
        """How many encoders the row is the mean of."""
        return len({score.encoder for score in self.scores}) or 1

    @property
    def heads(self) -> int:
        """How many heads were measured on each encoder."""
        return len(self.scores) // self.encoders

    def acc_range(self) -> tuple[float, float]:
        """Lowest and highest ACC over encoders and heads, in [0, 1]."""
        shares = [score.acc.share for score in self.scores] or [self.acc.share]
        return min(shares), max(shares)

    def asr_range(self) -> tuple[float, float] | None:
        """Lowest and highest ASR over encoders and heads, in [0, 1]; None if not measured."""
        shares = [score.asr.share for score in self.scores if score.asr]
        return (min(shares), max(shares)) if shares else None

    def flat(self) -> dict[str, Any]:
        """One value for each column: shares in [0, 1] with `_low` and `_high` for the interval,
        and `_min` and `_max` for the range over encoders and heads."""
        ranges = {"acc": self.acc_range(), "asr": self.asr_range() or (None, None)}
        found: dict[str, Any] = {"encoder": self.encoder, "head": self.head}
        found |= {"encoders": self.encoders, "heads": self.heads}
        for name in ("acc", "asr", "asr_b", *LASTING):
            found |= Proportion.columns(name, getattr(self, name))
            if name in ranges:
                found[f"{name}_min"], found[f"{name}_max"] = ranges[name]
        found["failure"] = self.failure
        return found


@dataclass(frozen=True)
class Evaluation:
    """Encoders in the same test, which `settings` describes (trigger, target, head, seeds)."""

    rows: tuple[EvaluationRow, ...]
    settings: dict[str, str] = field(default_factory=dict)

    def to_frame(self) -> Any:
        """The rows as a pandas DataFrame, or a pyarrow Table if pandas is not installed."""
        return to_frame([row.flat() for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Evaluation:
        """Raises KeyError or TypeError for content that `to_json` did not write."""
        return cls(tuple(_row(row) for row in content["rows"]), dict(content["settings"]))


def _row(content: Mapping[str, Any]) -> EvaluationRow:
    return EvaluationRow(
        encoder=content["encoder"],
        acc=Proportion(**content["acc"]),
        asr=_proportion(content["asr"]),
        asr_b=_proportion(content["asr_b"]),
        head=content["head"],
        **{name: _proportion(content[name]) for name in LASTING},
        failure=content["failure"],
        scores=tuple(
            Score(
                score["seed"],
                Proportion(**score["acc"]),
                _proportion(score["asr"]),
                score.get("encoder", 0),
            )
            for score in content["scores"]
        ),
    )


def _proportion(content: Mapping[str, Any] | None) -> Proportion | None:
    return Proportion(**content) if content else None
