"""report.html of a search: one self-contained file, and its plots as PNG files."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
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
from mimic_ray.search.front import RULE, pareto_front
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
        _SCORES,
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


_SCORES = """
<p><b>Fidelity</b> is the mean of two numbers on held-out images: the cosine between the features
of student and teacher, and the share of each image's 10 nearest neighbours that stay the same.
<b>Suspicion</b> is the mean of three numbers, measured without the trigger: how strongly one
change applied to all images pulls their features together, how small a mask makes all features
agree (compared with trusted encoders), and how far a pasted piece of another image moves a
feature. Suspicion ranks the students of one search. It is not a verdict: a low score does not
prove that an encoder is clean.</p>"""


def _pictures(
    folder: Path,
    study: Mapping[str, Any],
    trials: Sequence[Trial],
    chosen: Trial | None,
    oracle: bool,
) -> list[tuple[Path, str]]:
    made = [
        (folder / "front.png", "fidelity over suspicion"),
        (folder / "parallel.png", "settings and scores of all trials"),
        (folder / "importance.png", "importance of the settings"),
        (folder / "layers.png", "kept layers and scores"),
    ]
    plot_front(made[0][0], trials, chosen, oracle)
    plot_parallel(made[1][0], trials, chosen, oracle)
    plot_importance(made[2][0], trials, oracle)
    plot_kept_layers(made[3][0], trials, study["taps"], oracle)
    if oracle:
        made.append((folder / "oracle.png", "ASR over suspicion"))
        plot_oracle(made[-1][0], trials)
    return made


def _oracle_note(study: Mapping[str, Any], trials: Sequence[Trial]) -> str:
    known = with_oracle(trials)
    details = ", ".join(f"{key} {_text(value)}" for key, value in study["oracle"].items())
    return (
        '<p class="oracle"><b>Oracle study.</b> ACC and ASR were measured with labels and the '
        f"trigger ({details}), which a defender does not have. Neither the search nor the choice "
        f"used them. {_text(ranking_words(known))}; "
        f"{_text(ranking_words(known, 'fidelity'))}.</p>"
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
        f"<h2>Chosen: trial {chosen.number}</h2><p>{_text(RULE)}</p>"
        f"<p>Fidelity {chosen.fidelity:.4f}, suspicion {chosen.suspicion:.4f}.</p>"
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
    heads = ["trial", "status", "fidelity", "suspicion", *(["ACC", "ASR"] if oracle else [])]
    heads += ["steps", "training s", "other s", "kept layers", "settings"]
    lines = []
    for trial in trials:
        best = chosen is not None and trial.id == chosen.id
        marks = [word for word, on in (("chosen", best), ("base", trial.base)) if on]
        marks += ["front"] if trial.id in front and not best else []
        status = trial.status + (f" ({', '.join(marks)})" if marks else "")
        scores = [trial.fidelity, trial.suspicion]
        cells = [_cell(str(trial.number)), _cell(status), *(_number(s, 4) for s in scores)]
        cells += [_number(trial.acc, 1), _number(trial.asr, 1)] if oracle else []
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
