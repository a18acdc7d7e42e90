"""mimic-ray status: how a job goes."""

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
    from mimic_ray.store.progress_file import Live as RunLive
    from mimic_ray.workflows.job_status import JobStatus

_SILENT_S = 120.0


def command(
    job: options.JobName,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again every few seconds, until the job ends.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.5, metavar="S", help="With --watch.")] = 3.0,
    address: options.JobAddress = None,
    insecure: options.Insecure = False,
    json: options.Json = False,
) -> None:
    """Show how a job goes, by its run's own metrics in storage.

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
        console.out.print(_shown(status), soft_wrap=True)


def _watch(ask: Callable[[], JobStatus], every: float) -> None:
    """In place on a terminal; elsewhere, one after the other, those that say something new."""
    with ExitStack() as shown:
        view: Live | None = None
        before: Text | None = None
        while True:
            status = ask()
            now = _shown(status)
            if not console.out.is_terminal:
                if now != before:
                    console.out.print(now, soft_wrap=True)
            elif view is None:
                view = shown.enter_context(Live(now, console=console.out, auto_refresh=False))
            else:
                view.update(now, refresh=True)
            if status.job.over:
                return
            before = now
            time.sleep(every)


def _shown(status: JobStatus) -> Text:
    lines = [ended(status.job), *(f"  {name:<12}{value}" for name, value in _rows(status))]
    if status.last_lines:
        lines += ["  last lines of its log:", *(f"    {line}" for line in status.last_lines)]
    return Text("\n".join(lines))


def _rows(status: JobStatus) -> list[tuple[str, str]]:
    job, live = status.job, status.live
    rows = [("command", job.command or "(not of mimic-ray)")]
    if status.waits:
        rows.append(("waits for", status.waits))
    if live is None:
        return [*rows, ("run", status.unread)]
    search = live.phase == "search"
    rows.append(("study" if search else "run", f"{job.out} ({live.status}, {live.phase})"))
    ended = " ended" if search else ""
    rows.append(("trials" if search else "step", f"{live.step:,} of {live.steps:,}{ended}"))
    if live.loss is not None:
        rows.append(("loss", f"{live.loss:.4f}"))
    if live.images_per_s:
        rows.append(("speed", f"{live.images_per_s:,.0f} images/s"))
    if live.seconds_left is not None and live.status == "running":
        rows.append(("time left", duration(live.seconds_left)))
    if live.phase == "start":
        return [*rows, ("workers", "none yet")]
    if search:
        at_work = [("running", count(live.workers, "trial"))] if live.status == "running" else []
        return [*rows, *at_work, *_silent(job, live)]
    again = f", begun anew {count(live.restarts, 'time')}" if live.restarts else ""
    rows.append(("workers", f"{live.workers}{again}"))
    committed = "none yet" if live.committed_step is None else f"step {live.committed_step:,}"
    return [*rows, ("committed", committed), *_silent(job, live)]


def _silent(job: Job, live: RunLive) -> list[tuple[str, str]]:
    silence = time.time() - live.updated_at
    if live.status != "running" or job.over or silence <= _SILENT_S:
        return []
    return [("silent", f"nothing was written for {duration(silence)}")]
