"""Runs a plan of jobs on an engine: resumable, and nothing is computed twice."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from pellucid.benchmarks.engine import Engine, Outcome
from pellucid.benchmarks.job import Execute, Job
from pellucid.benchmarks.store import Record, Store
from pellucid.errors import PellucidError


class Plan(Protocol):
    """What is to be done; it may grow with the results."""

    def next(self, results: Mapping[str, Record]) -> list[Job]:
        """All jobs that are wanted, given the records of those that are done or failed so far."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job, for a display.

    Attributes:
        kind: ``"started"``, ``"finished"``, ``"failed"``, ``"retried"`` (its worker died, it begins again), or
            ``"cached"`` (the store had it, done or failed).
        job: The job.
        outcome: From the engine, where the job has just ended or was lost.
        record: Where nothing more will happen to the job.
    """

    kind: Literal["started", "finished", "failed", "retried", "cached"]
    job: Job
    outcome: Outcome | None = None
    record: Record | None = None


Watch = Callable[[Event], None]


def run(plan: Plan, store: Store, engine: Engine, execute: Execute, *, retries: int = 1, retry_failed: bool = False,
        watch: Watch | None = None, poll: float = 1.0) -> dict[str, Record]:
    """Does what a plan wants and the store has not.

    Any exception, Ctrl-C above all, cancels what runs and gives it back; the same call then goes on from there.

    Args:
        plan: Asked again after each job that ends.
        store: Has the results; other runners may share it.
        engine: Executes the jobs; it stays open at the end, but is closed after an exception.
        execute: The function that does a job.
        retries: How often a job begins again whose worker died.
        retry_failed: Whether jobs run again that the store has as failed.
        watch: Told of every event.
        poll: Seconds between two looks at jobs that other runners have begun.

    Returns:
        Key -> record of every job that was wanted. Where a job that it needs has failed, its record says so, but the
        store does not hold that: the job runs once the cause is gone.

    Raises:
        PellucidError: if the plan cannot be done, since a job needs one that is not in it.
    """
    state = _Run(plan, store, engine, execute, retries, retry_failed, watch or (lambda event: None), poll)
    try:
        return state.go()
    except BaseException:
        try:
            engine.close(cancel=True)
        finally:
            with contextlib.suppress(PellucidError):  # then the leases end it
                store.release()
        raise


@dataclass
class _Run:
    plan: Plan
    store: Store
    engine: Engine
    execute: Execute
    retries: int
    retry_failed: bool
    watch: Watch
    poll: float

    def __post_init__(self) -> None:
        self.results: dict[str, Record] = {}
        self.active: set[str] = set()
        self.looked_up: set[str] = set()
        self.others: set[str] = set()  # jobs that another runner was seen at
        self.lost: Counter[str] = Counter()

    def go(self) -> dict[str, Record]:
        while True:
            wanted = {job.key: job for job in self.plan.next(MappingProxyType(self.results))}.values()
            waiting = [job for job in wanted if job.key not in self.results and job.key not in self.active]
            known = len(self.results)
            self.look_up(waiting)
            others = self.begin(job for job in waiting if job.key not in self.results)
            if len(self.results) > known:
                continue  # the plan may want more now
            if self.active:
                for outcome in self.engine.wait(self.poll if others else None):
                    self.end(outcome)
            elif others:
                time.sleep(self.poll)
            elif waiting:
                raise PellucidError(f"expected a plan with all that its jobs need, got {waiting[0].label!r}, which "
                                    "needs a job that is not in it or that needs this one; add or correct it")
            else:
                return self.results

    def look_up(self, jobs: Iterable[Job]) -> None:
        """Takes what the store has, all at once; done is done, whatever became of what it needed."""
        new = {job.key: job for job in jobs if job.key not in self.looked_up}
        if not new:
            return
        self.looked_up |= set(new)
        for key, record in self.store.records(new).items():
            if record.status == "done" or (record.status == "failed" and not self.retry_failed):
                self.settle("cached", new[key], record)

    def begin(self, jobs: Iterable[Job]) -> bool:
        """Begins what can be begun; True if a free slot found a job that another runner is at."""
        others, slots = False, self.engine.slots
        for job in jobs:
            needs = [self.results.get(key) for key in job.needs]
            failed = next((need for need in needs if need is not None and need.status == "failed"), None)
            if failed is not None:
                self.settle("failed", job, Record(job.key, job.label, job.content, "failed",
                                                  reason=f"needs {failed.label}, which failed"))
                continue
            if None in needs or len(self.active) >= slots:
                continue
            # what failed with another runner just now is not tried again: it has been, in effect
            claim = self.store.claim(job, retry_failed=self.retry_failed and job.key not in self.others)
            if claim == "claimed":
                self.submit(job)
                self.watch(Event("started", job))
            elif claim == "running":
                self.others.add(job.key)
                others = True
            else:
                self.settle("cached", job)
        return others

    def submit(self, job: Job) -> None:
        self.active.add(job.key)
        self.engine.submit(job, self.execute)

    def end(self, outcome: Outcome) -> None:
        """Records an outcome. If the lease was lost meanwhile, the job waits for the other runner's result."""
        job, reason = outcome.job, outcome.reason or "no result"
        self.active.discard(job.key)
        if outcome.lost and self.lost[job.key] < self.retries:
            self.lost[job.key] += 1
            if self.store.retry(job.key, reason):
                self.watch(Event("retried", job, outcome))
                self.submit(job)
        elif outcome.result is not None:
            if self.store.finish(job.key, outcome.result, outcome.seconds):
                self.settle("finished", job, outcome=outcome)
        elif self.store.fail(job.key, reason, outcome.seconds):
            self.settle("failed", job, outcome=outcome)

    def settle(self, kind: Literal["finished", "failed", "cached"], job: Job, record: Record | None = None,
               outcome: Outcome | None = None) -> None:
        record = record or self.store.records([job.key])[job.key]  # as a later run will read it
        self.results[job.key] = record
        self.watch(Event(kind, job, outcome, record))
