"""What a benchmark is made of: jobs, each with a key that says what its result is the result of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Execute = Callable[[dict[str, Any]], dict[str, Any]]
"""A module-level function: what a job contains -> its result, both such that JSON can hold them."""


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        key: Hash of configuration, data and code version: the identity of the result.
        label: For people, e.g. ``"dgcnn lri-gaussian seed 0"``.
        content: All that the executing function needs; such that JSON can hold it.
        needs: Keys of the jobs whose artifacts it uses; they must be done first.
        cpus: Cores that it takes.
        gpus: GPUs that it takes, or a part of one.
        estimate: Seconds, for the plan; None where nothing is known.
    """

    key: str
    label: str
    content: dict[str, Any]
    needs: tuple[str, ...] = ()
    cpus: float = 1
    gpus: float = 0
    estimate: float | None = None
