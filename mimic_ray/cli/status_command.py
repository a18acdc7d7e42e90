"""mimic-ray status: the progress of a job, or of what a folder holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.text import Text

from mimic_ray.base.text import count, duration
from mimic_ray.cli import console, options
from mimic_ray.cli.follow_job import ended

if TYPE_CHECKING:
    from mimic_ray.jobs.job_client import JobClient
    from mimic_ray.store.progress_file import ProgressRecord
    from mimic_ray.workflows.job_status import JobStatus

_STALE_S = 120.0


def command(
    job: Annotated[
        str, typer.Argument(metavar="ID|FOLDER", help="The job's name, or a folder or address.")
    ],
    watch: Annotated[
        bool, typer.Option("--watch", help="Repeat every few seconds until the job ends.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.5, metavar="S", help="Seconds between updates, with --watch.")
    ] = 3.0,
    address: options.JobAddress = None,
    insecure: options.Insecure = False,
    json: options.Json = False,
) -> None:
    """Show the state of a job and the progress of its run, or that of a run, study or comparison.

    Example: mimic-ray status purify-1a2b3c4d --watch
    """
    from mimic_ray.workflows.job_status import folder_status, is_location, job_status, open_jobs

    if is_location(job):
        if json:
            console.print_json(asdict(folder_status(job)))
            return
        read = partial(_of_folder, job, folder_status)
    else:
        client = open_jobs(address, insecure=insecure)
        if json:
            console.print_json(job_status(client, job).facts())
            return
        read = partial(_of_job, client, job, job_status)
    if not watch:
        console.out.print(read()[0], soft_wrap=True)
        return
    try:
        _watch(read, every)
    except KeyboardInterrupt:
        console.note("The job continues.")
        raise typer.Exit(130) from None


def _of_folder(location: str, read: Callable[[str], ProgressRecord]) -> tuple[Text, bool]:
    """What to show, and whether it is over."""
    run = read(location)
    over = run.status != "running"
    return _lines(f"{location}: {run.status}", progress_rows(run, location, over)), over


def _of_job(
    client: JobClient, name: str, read: Callable[[JobClient, str], JobStatus]
) -> tuple[Text, bool]:
    """The same of a job."""
    status = read(client, name)
    text = _lines(ended(status.job), _rows(status))
    if status.last_lines:
        last = ["  last lines of the log:", *(f"    {line}" for line in status.last_lines)]
        text = Text("\n".join([text.plain, *last]))
    return text, status.job.over


def _lines(title: str, rows: list[tuple[str, str]]) -> Text:
    return Text("\n".join([title, *(f"  {name:<12}{value}" for name, value in rows)]))


def _watch(read: Callable[[], tuple[Text, bool]], every_s: float) -> None:
    """Redraws the status on a terminal; elsewhere prints it when it changes."""
    with ExitStack() as screen:
        view: Live | None = None
        before: Text | None = None
        while True:
            now, over = read()
            if not console.out.is_terminal:
                if now != before:
                    console.out.print(now, soft_wrap=True)
            elif view is None:
                view = screen.enter_context(Live(now, console=console.out, auto_refresh=False))
            else:
                view.update(now, refresh=True)
            if over:
                return
            before = now
            time.sleep(every_s)


def _rows(status: JobStatus) -> list[tuple[str, str]]:
    job, run = status.job, status.run
    rows = [("command", job.command or "(not mimic-ray)")]
    if status.waits_for:
        rows.append(("waits for", status.waits_for))
    if run is None:
        return [*rows, ("run", status.run_unread)]
    return [*rows, *progress_rows(run, job.out, job.over)]


def progress_rows(run: ProgressRecord, location: str, over: bool) -> list[tuple[str, str]]:
    """What the progress file says; `over`: whether the process that wrote it has ended."""
    if run.comparison:
        return [*_comparison_rows(run, location), *_stale(run, over)]
    is_study, running = run.study or run.phase == "search", run.status == "running"
    state = f"{run.status}, {run.phase}" if running else run.status
    rows = [("study" if is_study else "run", f"{location} ({state})")]
    finished = " finished" if is_study else ""
    if run.total and running:
        rows.append(("preparing", f"{run.phase}: {run.done:,} of {run.total:,}"))
    rows.append(("trials" if is_study else "step", f"{run.step:,} of {run.steps:,}{finished}"))
    if run.loss is not None:
        rows.append(("loss", f"{run.loss:.4f}"))
    if run.images_per_s:
        rows.append(("speed", f"{run.images_per_s:,.0f} images/s"))
    if run.seconds_left is not None and running:
        rows.append(("time left", duration(run.seconds_left)))
    if run.phase == "start":
        return [*rows, ("workers", "none yet")]
    if is_study:
        at_work = [("running", count(run.workers, "trial"))] if running else []
        return [*rows, *at_work, *_stale(run, over)]
    restarts = f", restarted {count(run.restarts, 'time')}" if run.restarts else ""
    rows.append(("workers", f"{run.workers}{restarts}"))
    checkpoint = "none yet" if run.committed_step is None else f"step {run.committed_step:,}"
    return [*rows, ("checkpoint", checkpoint), *_stale(run, over)]


def _comparison_rows(run: ProgressRecord, location: str) -> list[tuple[str, str]]:
    rows = [("comparison", f"{location} ({run.status})")]
    # The stop rule needs fewer, unless every defence fails it.
    rows.append(("runs", f"{run.step:,} of at most {run.steps:,} ended"))
    if run.status == "running":
        done = f": {run.done:,} of {run.total:,}" if run.total else ""
        rows.append(("now", f"{run.phase}{done}"))
    return rows


def _stale(run: ProgressRecord, over: bool) -> list[tuple[str, str]]:
    age_s = time.time() - run.updated_at
    if run.status != "running" or over or age_s <= _STALE_S:
        return []
    return [("stale", f"last updated {duration(age_s)} ago")]
