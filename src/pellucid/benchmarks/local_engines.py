"""Engines of this machine: jobs in this process, or in local worker processes."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import pickle
import signal
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection as pipes
from typing import Any

from pellucid.benchmarks.engine import Engine, Outcome, attempt
from pellucid.benchmarks.job import Execute, Job
from pellucid.distributed.workers import begin, inherited


class InProcess(Engine):
    """One job after the other, in the calling process."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Job, Execute]] = deque()

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, job: Job, execute: Execute) -> None:
        """Keeps the job for :meth:`wait`, which executes it."""
        self._waiting.append((job, execute))

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Executes the next job, however long it takes."""
        if not self._waiting:
            return []
        job, execute = self._waiting.popleft()
        return [Outcome(job, *attempt(execute, job.content))]

    def close(self, cancel: bool = False) -> None:
        """Forgets what waits, if ``cancel``; else executes nothing more either: there are no workers."""
        self._waiting.clear()


@dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: pipes.Connection[Any, Any]
    job: Job | None = None
    started: float = 0.0

    def begin(self, job: Job, message: bytes) -> bool:
        """False if the worker has died."""
        try:
            self.pipe.send_bytes(message)
        except OSError:
            return False
        self.job, self.started = job, time.perf_counter()
        return True

    def end(self, patience: float | None = 5.0) -> str:
        """Without its pipe a worker ends after its job, without patience by force; returns how it ended."""
        self.pipe.close()
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


class Processes(Engine):
    """Local worker processes with one thread each. A worker that dies loses its job only, and is replaced.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[_Worker] = []
        atexit.register(self.close, cancel=True)  # before multiprocessing's own, which would wait for the workers

    @property
    def slots(self) -> int:
        """The number of workers."""
        return self._count

    def submit(self, job: Job, execute: Execute) -> None:
        """Sends the job to an idle worker, or to a new one."""
        message = pickle.dumps((execute, job.content))
        for worker in [w for w in self._workers if w.job is None]:
            if worker.begin(job, message):
                return
            self._workers.remove(worker)
            worker.end()
        worker = _start()
        self._workers.append(worker)
        if not worker.begin(job, message):
            worker.job = job  # for wait() to tell that it is lost

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """See :meth:`Engine.wait`."""
        busy = {worker.pipe: (worker, worker.job) for worker in self._workers if worker.job is not None}
        if not busy:
            return []
        return [self._outcome(*busy[pipe]) for pipe in pipes.wait(list(busy), timeout)]  # type: ignore[index]

    def _outcome(self, worker: _Worker, job: Job) -> Outcome:
        try:
            result, reason, seconds = worker.pipe.recv()
        except (EOFError, OSError):
            self._workers.remove(worker)
            return Outcome(job, None, f"its worker died ({worker.end()})", time.perf_counter() - worker.started, True)
        worker.job = None
        return Outcome(job, result, reason, seconds)

    def close(self, cancel: bool = False) -> None:
        """See :meth:`Engine.close`."""
        atexit.unregister(self.close)
        for worker in self._workers:
            if cancel and worker.job is not None:
                worker.process.terminate()
        while self._workers:
            worker = self._workers.pop()
            worker.end(None if worker.job is not None and not cancel else 5.0)


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of threads that it has not
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), name="pellucid-worker")
    with inherited():
        process.start()
    theirs.close()  # the worker's death closes the last copy, which ends our reading
    return _Worker(process, ours)


def _serve(pipe: pipes.Connection[Any, Any]) -> None:
    """A worker's life: jobs until the pipe is closed."""
    begin()
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(attempt(_unpickled, pipe.recv_bytes()))


def _unpickled(message: bytes) -> dict[str, Any]:
    execute, content = pickle.loads(message)
    result: dict[str, Any] = execute(content)
    return result
