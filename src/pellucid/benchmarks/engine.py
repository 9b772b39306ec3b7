"""What every engine is: it executes jobs and tells how each ended."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch

from pellucid.benchmarks.job import Execute, Job
from pellucid.benchmarks.store import as_json

Attempt = tuple[dict[str, Any] | None, str | None, float]


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        job: The job.
        result: What it returned; None if it failed or was lost.
        reason: Why it failed or was lost, in one line.
        seconds: What it took.
        lost: Whether its worker died: not the job's fault, as far as one can know.
    """

    job: Job
    result: dict[str, Any] | None
    reason: str | None
    seconds: float
    lost: bool = False


class Engine(ABC):
    """Executes jobs. As a context manager it is closed at the end, and cancels what still runs after an exception."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many jobs it executes at once."""

    @abstractmethod
    def submit(self, job: Job, execute: Execute) -> None:
        """Begins a job."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Blocks until at least one job has ended; empty if ``timeout`` seconds passed or there is none."""

    @abstractmethod
    def close(self, cancel: bool = False) -> None:
        """Ends the workers; what still runs is waited for, or ended at once if ``cancel``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close(cancel=kind is not None)


def attempt(execute: Callable[[Any], dict[str, Any]], content: Any) -> Attempt:
    """Executes on one thread, so that all engines give the same result to the last bit.

    Returns:
        The result as JSON would give it back, or None and the reason; and the seconds that it took.

    Example:
        >>> attempt(lambda content: {"one": 1 / content["n"]}, {"n": 0})[1]
        'ZeroDivisionError: division by zero'
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.perf_counter()
    try:
        result, reason = as_json(execute(content)), None
    except (Exception, SystemExit) as error:
        result, reason = None, reason_of(error)
    finally:
        torch.set_num_threads(threads)
    return result, reason, time.perf_counter() - started


def reason_of(error: BaseException) -> str:
    r"""An exception in one line that every store can hold.

    Example:
        >>> reason_of(ValueError("first line\nsecond line"))
        'ValueError: first line'
    """
    line = (str(error).splitlines() or [""])[0]
    text = f"{type(error).__name__}: {line}" if line else type(error).__name__
    return text.replace("\0", "").encode("utf-8", "replace").decode()
