"""Jobs of the review page: which of them run at once, and how they end."""

from __future__ import annotations

import threading
import time

from stream.review.jobs import Job, Jobs

_PATIENCE_S = 60.0


def test_jobs_of_one_kind_follow_each_other_and_hold_up_no_other_kind() -> None:
    began, go = [], threading.Event()

    def waits(job: Job) -> None:
        began.append(job.text)
        assert go.wait(_PATIENCE_S)

    with Jobs() as jobs:
        first, second = jobs.start("long", "one", waits), jobs.start("long", "two", waits)
        other = jobs.start("short", "three", lambda job: began.append(job.text))
        _wait(jobs, other)
        assert sorted(began) == ["one", "three"]
        go.set()
        _wait(jobs, first)
        _wait(jobs, second)
    assert "two" in began


def test_at_the_end_jobs_that_wait_are_told_to_stop_and_begin() -> None:
    told: list[bool] = []
    jobs = Jobs()
    jobs.start("long", "one", lambda job: job.stopping.wait(_PATIENCE_S))
    jobs.start("long", "two", lambda job: told.append(job.stopping.is_set()))  # it has something to clear away
    jobs.close()
    assert told == [True]


def test_a_job_that_is_cancelled_while_it_waits_is_over_at_once() -> None:
    begun, go = threading.Event(), threading.Event()

    def waits(job: Job) -> None:
        begun.set()
        assert go.wait(_PATIENCE_S)

    with Jobs() as jobs:
        jobs.start("long", "one", waits)
        waiting = jobs.start("long", "two", lambda job: None)
        assert begun.wait(_PATIENCE_S)
        cancelled = jobs.cancel(waiting)
        assert cancelled is not None and (cancelled.done, cancelled.error) == (True, "cancelled")
        assert jobs.cancel("99") is None
        go.set()
    assert cancelled.error == "cancelled"


def _wait(jobs: Jobs, name: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    job = jobs.get(name)
    assert job is not None
    while not job.done:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert job.error is None
