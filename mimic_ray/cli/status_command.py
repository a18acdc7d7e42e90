"""mimic-ray status: the progress of a job."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.text import Text

from mimic_ray.base.text import count, duration
from mimic_ray.cli import console, options
from mimic_ray.cli.follow_job import ended

if TYPE_CHECKING:
    from mimic_ray.jobs.job_client import Job
    from mimic_ray.store.progress_file import ProgressRecord
    from mimic_ray.workflows.job_status import JobStatus

_STALE_S = 120.0


def command(
    job: options.JobName,
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
    """Show the state of a job and the progress of its run.

    Example: mimic-ray status purify-1a2b3c4d --watch
    """
    from mimic_ray.workflows.job_status import job_status, open_jobs

    client = open_jobs(address, insecure=insecure)
    if watch and not json:
        try:
            _watch(lambda: job_status(client, job), every)
        except KeyboardInterrupt:
            console.note("The job continues.")
            raise typer.Exit(130) from None
        return
    status = job_status(client, job)
    if json:
        console.print_json(status.facts())
    else:
        console.out.print(_text(status), soft_wrap=True)


def _watch(read: Callable[[], JobStatus], every_s: float) -> None:
    """Redraws the status on a terminal; elsewhere prints it when it changes."""
    with ExitStack() as screen:
        view: Live | None = None
        before: Text | None = None
        while True:
            status = read()
            now = _text(status)
            if not console.out.is_terminal:
                if now != before:
                    console.out.print(now, soft_wrap=True)
            elif view is None:
                view = screen.enter_context(Live(now, console=console.out, auto_refresh=False))
            else:
                view.update(now, refresh=True)
            if status.job.over:
                return
            before = now
            time.sleep(every_s)


def _text(status: JobStatus) -> Text:
    lines = [ended(status.job), *(f"  {name:<12}{value}" for name, value in _rows(status))]
    if status.last_lines:
        lines += ["  last lines of the log:", *(f"    {line}" for line in status.last_lines)]
    return Text("\n".join(lines))


def _rows(status: JobStatus) -> list[tuple[str, str]]:
    job, run = status.job, status.run
    rows = [("command", job.command or "(not mimic-ray)")]
    if status.waits_for:
        rows.append(("waits for", status.waits_for))
    if run is None:
        return [*rows, ("run", status.run_unread)]
    is_study, running = run.study or run.phase == "search", run.status == "running"
    rows.append(("study" if is_study else "run", f"{job.out} ({run.status}, {run.phase})"))
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
        return [*rows, *at_work, *_stale(job, run)]
    restarts = f", restarted {count(run.restarts, 'time')}" if run.restarts else ""
    rows.append(("workers", f"{run.workers}{restarts}"))
    checkpoint = "none yet" if run.committed_step is None else f"step {run.committed_step:,}"
    return [*rows, ("checkpoint", checkpoint), *_stale(job, run)]


def _stale(job: Job, run: ProgressRecord) -> list[tuple[str, str]]:
    age_s = time.time() - run.updated_at
    if run.status != "running" or job.over or age_s <= _STALE_S:
        return []
    return [("stale", f"last updated {duration(age_s)} ago")]
