"""report.html of a search: one self-contained file, and its plots as PNG files."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.text import count, plain
from mimic_ray.report.study_plots import (
    plot_front,
    plot_importance,
    plot_kept_layers,
    plot_oracle,
    plot_parallel,
    ranking_words,
    with_oracle,
)
from mimic_ray.search.front import pareto_front, rule
from mimic_ray.search.objectives.objective_registry import OBJECTIVES, objectives
from mimic_ray.search.trial import Trial

_STYLE = """
:root { color-scheme: light dark; --ink: #202124; --paper: #fff; --line: #dadce0; --soft: #5f6368 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #1f2023; --line: #3c4043; --soft: #9aa0a6 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top } td.number { text-align: right; font-variant-numeric: tabular-nums }
tr.chosen td { font-weight: 600 } .soft { color: var(--soft) }
img { max-width: 100%; background: #fff; border-radius: 4px; margin: .3rem 0 }
pre { background: color-mix(in srgb, var(--ink) 7%, transparent); padding: .8rem; overflow-x: auto;
  font-size: 12.5px; border-radius: 4px }
.oracle { border: 2px solid #d55e00; padding: .5rem .8rem; border-radius: 4px }
"""


def write_study_report(
    folder: Path,
    study: Mapping[str, Any],
    trials: Sequence[Trial],
    chosen: Trial | None,
    best_toml: str,
) -> Path:
    """Writes report.html and the PNG files into `folder`. `study` is the content of study.json."""
    oracle = bool(study.get("oracle"))
    pictures = _pictures(folder, study, trials, chosen, oracle)
    front = {trial.id for trial in pareto_front(trials)}
    body = [
        f"<h1>Recipe search for {_text(study['encoder'])}</h1>",
        _oracle_note(study, trials) if oracle else "",
        _facts(study, trials),
        _chosen(study, chosen, best_toml),
        "<h2>Results</h2>",
        *(f'<img alt="{_text(words)}" src="{_inline(path)}">' for path, words in pictures),
        "<h2>All trials</h2>",
        _trials_table(trials, chosen, front, oracle),
        _errors(trials),
        "<h2>Search space</h2>",
        _table(("key", "values"), study["space"].items()),
        "<h2>Scores</h2>",
        _scores(),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Search for {_text(study['encoder'])}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )
    path = folder / "report.html"
    files.write_text(path, page)
    return path


def _scores() -> str:
    """A paragraph for each objective."""
    return "".join(
        f"<p><b>{_text(name.capitalize())}</b> ({objective.better} is better). "
        f"{_text(objective.description)}</p>"
        for name, objective in objectives().items()
    )


def _pictures(
    folder: Path,
    study: Mapping[str, Any],
    trials: Sequence[Trial],
    chosen: Trial | None,
    oracle: bool,
) -> list[tuple[Path, str]]:
    made = [
        (folder / "parallel.png", "settings and scores of all trials"),
        (folder / "importance.png", "importance of the settings"),
        (folder / "layers.png", "kept layers and scores"),
    ]
    plot_parallel(made[0][0], trials, chosen, oracle)
    plot_importance(made[1][0], trials, oracle)
    plot_kept_layers(made[2][0], trials, study["taps"], oracle)
    # One plot of the front for each pair of objectives.
    fronts = [
        (folder / ("front.png" if number == 0 else f"front_{y}_{x}.png"), x, y)
        for number, (y, x) in enumerate(combinations(OBJECTIVES, 2))
    ]
    for path, x, y in fronts:
        plot_front(path, trials, chosen, oracle, (x, y))
    made = [*((path, f"{y} over {x}") for path, x, y in fronts), *made]
    ranking = [n for n, o in objectives().items() if oracle and o.stands_for == "asr"]
    for number, name in enumerate(ranking):
        path = folder / ("oracle.png" if number == 0 else f"oracle_{name}.png")
        made.append((path, f"ASR over {name}"))
        plot_oracle(path, trials, name)
    return made


def _oracle_note(study: Mapping[str, Any], trials: Sequence[Trial]) -> str:
    known = with_oracle(trials)
    details = ", ".join(f"{key} {_text(value)}" for key, value in study["oracle"].items())
    rankings = [
        _text(ranking_words(known, name, objective.stands_for))
        for name, objective in objectives().items()
        if objective.stands_for
    ]
    return (
        '<p class="oracle"><b>Oracle study.</b> ACC and ASR were measured with labels and the '
        f"trigger ({details}), which a defender does not have. Neither the search nor the choice "
        f"used them. {'; '.join(rankings)}.</p>"
    )


def _facts(study: Mapping[str, Any], trials: Sequence[Trial]) -> str:
    words = {"finished": "finished", "stopped": "stopped early", "failed": "failed"}
    ended = {words[s]: sum(t.status == s for t in trials) for s in words}
    trained = sum(trial.seconds for trial in trials)
    images = f"{study['data']}: {count(study['images'], 'image')}, {study['held_out']:.0%} held out"
    rows = [
        ("teacher", f"{study['teacher']} (sha256 {study['teacher_sha256'][:16]}...)"),
        ("images", f"{images} (fingerprint {study['data_fingerprint'][:16]}...)"),
        ("trials", ", ".join(f"{number} {status}" for status, number in ended.items())),
        ("time", f"{study['seconds']:.0f} s in total, {trained:.0f} s of training"),
        ("teacher forwards", f"{study['teacher_forwards']:,} images for all trials together"),
        ("command", study["command"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in study["versions"].items())),
    ]
    return _table(("", ""), rows)


def _chosen(study: Mapping[str, Any], chosen: Trial | None, best_toml: str) -> str:
    if chosen is None:
        return "<h2>Chosen</h2><p>No trial finished, so none was chosen.</p>"
    settings = [(key, f"{value}", _base(study, key)) for key, value in chosen.settings.items()]
    command = (
        f"mimic-ray purify --encoder {study['encoder']} --teacher {study['teacher']} "
        f"--data {study['data']} --recipe best.toml --out purified"
    )
    return (
        f"<h2>Chosen: trial {chosen.number}</h2><p>{_text(rule())}</p>"
        f"<p>{_text(chosen.objectives_in_words().capitalize())}.</p>"
        f"{_table(('setting', 'chosen', 'base recipe'), settings)}"
        f"<pre>{_text(command)}</pre><details><summary>best.toml</summary>"
        f"<pre>{_text(best_toml)}</pre></details>"
    )


def _base(study: Mapping[str, Any], key: str) -> str:
    value: Any = study["recipe"]
    for part in key.split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return str(value)


def _trials_table(
    trials: Sequence[Trial], chosen: Trial | None, front: set[str], oracle: bool
) -> str:
    heads = ["trial", "status", *OBJECTIVES, *(["ACC", "ASR"] if oracle else [])]
    heads += ["steps", "training s", "other s", "kept layers", "settings"]
    lines = []
    for trial in trials:
        best = chosen is not None and trial.id == chosen.id
        marks = [word for word, on in (("chosen", best), ("base", trial.base)) if on]
        marks += ["front"] if trial.id in front and not best else []
        status = trial.status + (f" ({', '.join(marks)})" if marks else "")
        cells = [_cell(str(trial.number)), _cell(status)]
        cells += [_number(trial.score(name), 4) for name in OBJECTIVES]
        cells += [_number(trial.score(name), 1) for name in ("acc", "asr")] if oracle else []
        cells += [_number(trial.step, 0), _number(trial.seconds, 1), _number(trial.overhead_s, 1)]
        settings = "; ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
            for k, v in trial.settings.items()
        )
        cells += [_cell(", ".join(trial.kept) or "-"), _cell(settings, "soft")]
        lines.append(f"<tr{' class=chosen' if best else ''}>{''.join(cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _errors(trials: Sequence[Trial]) -> str:
    failed = [trial for trial in trials if trial.status == "failed"]
    if not failed:
        return ""
    rows = [(str(trial.number), trial.error) for trial in failed]
    return f"<h2>Failed trials</h2>{_table(('trial', 'error'), rows)}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads) if any(heads) else ""
    lines = ("".join(_cell(str(cell)) for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(text: str, kind: str = "") -> str:
    return f"<td{f' class={kind}' if kind else ''}>{_text(text)}</td>"


def _number(value: float, digits: int) -> str:
    shown = "-" if value != value else f"{value:.{digits}f}"
    return f"<td class=number>{shown}</td>"


def _text(value: object) -> str:
    """Escaped text: file names and errors come from outside."""
    lines = str(value).splitlines() or [""]
    return "\n".join(escape(plain(line, 4000)) for line in lines)


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
