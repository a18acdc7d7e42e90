"""The results of a comparison of defences as plain data, for tables, plots and comparison.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mimic_ray.base.frames import to_frame
from mimic_ray.base.text import duration
from mimic_ray.evaluation.results import LASTING, Proportion

SUSPECT, REFERENCE = "suspect", "reference"

_MEASURED = ("acc", "asr", "asr_b", *LASTING)


@dataclass(frozen=True)
class ComparisonRow:
    """One defence at one strength: means over its seeds. None means not measured."""

    defence: str  # its name, or "suspect" and "reference" for those encoders themselves
    strength: str = ""  # the setting that makes it stronger with its value: "rate=0.001"
    value: float | None = None  # this value
    chosen: bool = True  # whether the comparison reports it; otherwise it is a point of a curve
    reached: bool | None = None  # whether its cosine reaches that of default; None without a rule
    seeds: int = 0  # purifications that ended with an encoder
    cosine: float | None = None  # mean cosine to the suspect encoder on held-out clean images
    cosines: tuple[float, ...] = ()  # that of each seed
    overlap: float | None = None  # share of the 10 nearest neighbours that are kept on them
    acc: Proportion | None = None  # accuracy of new heads
    asr: Proportion | None = None  # attack success of new heads
    asr_b: Proportion | None = None  # that of an encoder that was never attacked: the floor
    acc_distilled: Proportion | None = None  # ACC after plain distillation from the suspect
    asr_distilled: Proportion | None = None  # ASR after it
    acc_tuned: Proportion | None = None  # ACC of a user's model, fine-tuned on few labelled images
    asr_tuned: Proportion | None = None  # ASR of it
    images_seen: float | None = None  # images through the encoder, counted with repetition
    seconds: float | None = None  # of one purification
    clock: str = ""  # what they count: "CPU" (all threads) or "GPU"
    notes: tuple[str, ...] = ()  # sentences about the row
    failure: str = ""  # why an encoder or a measurement is missing, of some seeds or all
    mapped: bool = False  # whether a linear map back to the suspect's features is behind it

    def is_defence(self) -> bool:
        return self.defence not in (SUSPECT, REFERENCE)

    def cost(self) -> str:
        """`8.2 min CPU`."""
        return "" if self.seconds is None else f"{duration(self.seconds)} {self.clock}"

    def flat(self) -> dict[str, Any]:
        """One value for each column: shares in [0, 1] with `_low` and `_high` for the interval."""
        found: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _MEASURED:
                found |= Proportion.columns(each.name, value)
            elif each.name == "cosines":
                found["cosine_min"] = min(value, default=None)
                found["cosine_max"] = max(value, default=None)
            else:
                found[each.name] = " ".join(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ComparisonRow:
        """Raises KeyError or TypeError for content that `asdict` did not write."""
        measured = {k: Proportion(**content[k]) if content[k] else None for k in _MEASURED}
        lists = {k: tuple(content[k]) for k in ("cosines", "notes")}
        return cls(**{**content, **measured, **lists})


@dataclass(frozen=True)
class Comparison:
    """Defences on one suspect encoder and one set of clean images.

    `rows` has the suspect encoder and the reference first if labels were given, then each defence;
    with curves, one row for each strength.
    """

    rows: tuple[ComparisonRow, ...]  # `chosen()` gives those of the table
    settings: dict[str, str] = field(default_factory=dict)  # the rule, the images, the measures
    folder: str = ""  # tables, figure and all purified encoders; an address if `out` was one

    def chosen(self) -> tuple[ComparisonRow, ...]:
        """The rows of the table, without other points of the curves."""
        return tuple(row for row in self.rows if row.chosen)

    def row(self, defence: str) -> ComparisonRow:
        """The chosen row of a defence. Raises KeyError if it was not compared."""
        for row in self.chosen():
            if row.defence == defence:
                return row
        raise KeyError(defence)

    def to_frame(self) -> Any:
        """All rows as a pandas DataFrame, or a pyarrow Table if pandas is not installed."""
        return to_frame([row.flat() for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Comparison:
        """Raises KeyError or TypeError for content that `to_json` did not write."""
        rows = tuple(ComparisonRow.from_json(row) for row in content["rows"])
        return cls(rows, dict(content["settings"]), content["folder"])
