"""report.html of a search: one self-contained file; its figures and tables as files too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.text import command_line, count
from mimic_ray.report.html_page import cell, document, picture, table, text
from mimic_ray.report.study_plots import (
    plot_front,
    plot_importance,
    plot_kept_layers,
    plot_oracle,
    plot_parallel,
    ranking_words,
    with_oracle,
)
from mimic_ray.report.table_files import write_tables
from mimic_ray.report.tables import front_table, trials_table
from mimic_ray.search.front import pareto_front, rule
from mimic_ray.search.objectives.objective_registry import OBJECTIVES, objectives
from mimic_ray.search.trial import Trial


def write_study_report(
    folder: Path,
    study: Mapping[str, Any],
    trials: Sequence[Trial],
    chosen: Trial | None,
    best_toml: str,
) -> Path:
    """Writes report.html, figures and tables into `folder`. `study` is what study.json holds."""
    write_tables(folder, "front", front_table(pareto_front(trials), chosen))
    write_tables(folder, "trials", trials_table(trials, chosen))
    oracle = bool(study.get("oracle"))
    pictures = _pictures(folder, study, trials, chosen, oracle)
    front = {trial.id for trial in pareto_front(trials)}
    body = [
        f"<h1>Recipe search for {text(study['encoder'])}</h1>",
        _oracle_note(study, trials) if oracle else "",
        _facts(study, trials),
        _chosen(study, chosen, best_toml),
        "<h2>Results</h2>",
        *(picture(path, words) for path, words in pictures),
        "<h2>All trials</h2>",
        _trials_table(trials, chosen, front, oracle),
        _errors(trials),
        "<h2>Search space</h2>",
        table(("key", "values"), study["space"].items()),
        "<h2>Scores</h2>",
        _scores(),
    ]
    path = folder / "report.html"
    files.write_text(path, document(f"Search for {study['encoder']}", body))
    return path


def _scores() -> str:
    """A paragraph for each objective."""
    return "".join(
        f"<p><b>{text(name.capitalize())}</b> ({objective.better} is better). "
        f"{text(objective.description)}</p>"
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
    details = ", ".join(f"{key} {text(value)}" for key, value in study["oracle"].items())
    rankings = [
        text(ranking_words(known, name, objective.stands_for))
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
        *(("note", note) for note in study["notes"]),
    ]
    return table(("", ""), rows)


def purify_command(study: Mapping[str, Any], recipe: str | Path) -> str:
    """A command line that purifies with a recipe of the study; `study` is its record."""
    inputs = {name: study[name] for name in ("encoder", "teacher", "data")}
    return command_line("purify", **inputs, recipe=recipe, out="purified")


def _chosen(study: Mapping[str, Any], chosen: Trial | None, best_toml: str) -> str:
    if chosen is None:
        return "<h2>Chosen</h2><p>No trial finished, so none was chosen.</p>"
    settings = [(key, f"{value}", _base(study, key)) for key, value in chosen.settings.items()]
    return (
        f"<h2>Chosen: trial {chosen.number}</h2><p>{text(rule())}</p>"
        f"<p>{text(chosen.objectives_in_words().capitalize())}.</p>"
        f"{table(('setting', 'chosen', 'base recipe'), settings)}"
        f"<pre>{text(purify_command(study, 'best.toml'))}</pre>"
        f"<details><summary>best.toml</summary>"
        f"<pre>{text(best_toml)}</pre></details>"
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
        cells = [cell(str(trial.number)), cell(status)]
        cells += [_number(trial.score(name), 4) for name in OBJECTIVES]
        cells += [_number(trial.score(name), 1) for name in ("acc", "asr")] if oracle else []
        cells += [_number(trial.step, 0), _number(trial.seconds, 1), _number(trial.overhead_s, 1)]
        settings = "; ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
            for k, v in trial.settings.items()
        )
        cells += [cell(", ".join(trial.kept) or "-"), cell(settings, "soft")]
        lines.append(f"<tr{' class=chosen' if best else ''}>{''.join(cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _errors(trials: Sequence[Trial]) -> str:
    failed = [trial for trial in trials if trial.status == "failed"]
    if not failed:
        return ""
    rows = [(str(trial.number), trial.error) for trial in failed]
    return f"<h2>Failed trials</h2>{table(('trial', 'error'), rows)}"


def _number(value: float, digits: int) -> str:
    shown = "-" if value != value else f"{value:.{digits}f}"
    return f"<td class=number>{shown}</td>"
