"""What the user sees of jobs that wait for one another."""

from __future__ import annotations

import pytest

from edgeflow.cli.progress import Lines, _Bars
from edgeflow.jobs import Event, Job

JOB = Job("edgeflow.data_job:load", "keras", "read the data")


def test_a_job_that_waited_is_done_in_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for state, text in (("waiting", "already under way"), ("cached", "")):
        lines(Event(JOB, state, text=text))
    waiting, done = capsys.readouterr().err.splitlines()
    assert waiting == "edgeflow: read the data: already under way, waiting"
    assert done.startswith("edgeflow: read the data: done (")


def test_what_the_store_has_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Lines()(Event(JOB, "cached"))
    assert capsys.readouterr().err == ""


def test_bar_of_a_job_that_waited_ends() -> None:
    from rich.progress import Progress

    progress = Progress(disable=True)
    bars = _Bars(progress)
    bars(Event(Job("a:b", "keras", "known"), "cached"))
    assert not progress.tasks
    bars(Event(JOB, "waiting", text="already under way"))
    bars(Event(JOB, "cached"))
    (task,) = progress.tasks
    assert task.finished
    assert task.fields["text"] == "done"


def test_a_long_job_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines()
    lines(Event(JOB, "running"))
    lines(Event(JOB, "running", 1, 4, "C synthesis"))
    monkeypatch.setattr("edgeflow.cli.progress.EVERY", 0.0)
    lines(Event(JOB, "running", 2, 4, "logic synthesis"))
    assert capsys.readouterr().err.splitlines() == [
        "edgeflow: read the data …",
        "edgeflow: read the data: logic synthesis",
    ]
