"""Shows what jobs do: bars on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from edgeflow.jobs import Event, Job, Runner

EVERY = 60.0
"""Seconds between two lines of one job, where there is no terminal."""


@contextlib.contextmanager
def shown_runner() -> Iterator[Runner]:
    """A runner whose progress the user sees; Ctrl-C ends its jobs."""
    if sys.stderr.isatty():
        with _bars() as listener, Runner(listener=listener) as runner:
            yield runner
    else:
        with Runner(listener=Lines()) as runner:
            yield runner


def _title(job: Job) -> str:
    return f"{job.label}: {job.title}" if job.label else job.title


class Lines:
    """A line when a job starts and when it ends, and each minute how far a long one is."""

    def __init__(self) -> None:
        self._started: dict[int, float] = {}
        self._said: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        """Show an event."""
        job = event.job
        if job is None:
            _line(event.text)
            return
        title = _title(job)
        if event.state == "running" and id(job) not in self._started:
            self._started[id(job)] = self._said[id(job)] = time.monotonic()
            _line(f"{title} …")
        elif event.state == "running" and event.text:
            if time.monotonic() - self._said[id(job)] >= EVERY:
                self._said[id(job)] = time.monotonic()
                _line(f"{title}: {event.text}")
        elif event.state == "waiting":
            self._started[id(job)] = self._said[id(job)] = time.monotonic()
            _line(f"{title}: {event.text}, waiting")
        elif id(job) in self._started and event.state != "running":
            state = "failed" if event.state == "failed" else "done"
            seconds = time.monotonic() - self._started.pop(id(job))
            _line(f"{title}: {state} ({seconds:.1f} s)")


def _line(text: str) -> None:
    """One write for a line, so that those of several threads do not mix."""
    sys.stderr.write(f"edgeflow: {text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _bars() -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=False,
    )
    with progress:
        yield _Bars(progress)


class _Bars:
    """One bar for each job that runs."""

    def __init__(self, progress: object) -> None:
        from rich.progress import Progress, TaskID

        assert isinstance(progress, Progress)
        self._progress = progress
        self._tasks: dict[int, TaskID] = {}
        self._guard = threading.Lock()

    def __call__(self, event: Event) -> None:
        job = event.job
        if job is None:
            self._progress.console.print(event.text, markup=False, highlight=False)
            return
        with self._guard:
            if id(job) not in self._tasks:
                if event.state == "cached":
                    return
                self._tasks[id(job)] = self._progress.add_task(_title(job), total=None, text="")
            task = self._tasks[id(job)]
        if event.state in ("done", "cached"):  # cached: another did it while this one waited
            self._progress.update(task, total=1, completed=1, text="done")
            self._progress.stop_task(task)
        elif event.state == "failed":
            self._progress.update(task, text="failed")
            self._progress.stop_task(task)
        else:
            total = event.total or None
            self._progress.update(task, total=total, completed=event.done, text=event.text)
