"""Jobs as tasks of a Ray cluster. Import this module only where Ray is asked for: it is an optional extra."""

from __future__ import annotations

import time
from typing import Any

from pellucid.benchmarks.engine import Engine, Outcome, attempt, reason_of
from pellucid.benchmarks.job import Execute, Job
from pellucid.distributed.connection import amount, connect
from pellucid.errors import PellucidError

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError:
    raise PellucidError("expected Ray for --ray, got none installed; pip install 'pellucid[distributed]'") from None


class RayEngine(Engine):
    """Executes jobs on a Ray cluster. A worker or node that dies loses its jobs only.

    On the nodes of a cluster elsewhere pellucid must be installed, and the artifacts' folder shared.

    Args:
        address: ``"local"`` starts a cluster on this machine and ends it at the end; else that of a running one.
        cpus: Cores of a local cluster; by default the machine's.

    Raises:
        PellucidError: if the cluster does not answer, or cannot be started.
    """

    def __init__(self, address: str = "local", cpus: int | None = None) -> None:
        self._local = address == "local"
        connect(address, cpus=cpus)  # results are small
        self._task = ray.remote(max_retries=0)(attempt)  # the runner retries, so that attempts are recorded
        self._running: dict[Any, tuple[Job, float]] = {}

    @property
    def slots(self) -> int:
        """The cores that the cluster has now."""
        return max(1, int(amount("CPU")))

    def submit(self, job: Job, execute: Execute) -> None:
        """Queues the job as a task.

        Raises:
            PellucidError: if a local cluster can never have what the job takes; others may grow.
        """
        for name, wanted in {"CPU": job.cpus, "GPU": job.gpus}.items():
            if self._local and wanted > (there := amount(name)):
                raise PellucidError(f"expected {wanted:g} {name} for {job.label}, got {there:g} on this machine; give "
                                    "--ray the address of a larger cluster")
        task = self._task.options(num_cpus=job.cpus, num_gpus=job.gpus, name=job.label)
        self._running[task.remote(execute, job.content)] = job, time.perf_counter()

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """See :meth:`Engine.wait`."""
        if not self._running:
            return []
        done, rest = ray.wait(list(self._running), timeout=timeout)
        if done and rest:
            done += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        return [self._outcome(task) for task in done]

    def _outcome(self, task: Any) -> Outcome:
        job, started = self._running.pop(task)
        try:
            return Outcome(job, *ray.get(task))
        except RayError as error:
            cause = error.cause if isinstance(error, RayTaskError) else error
            lost = not isinstance(error, RayTaskError)
            return Outcome(job, None, reason_of(cause), time.perf_counter() - started, lost)

    def close(self, cancel: bool = False) -> None:
        """Disconnects; a local cluster ends."""
        tasks = list(self._running)
        if cancel:
            for task in tasks:
                ray.cancel(task, force=True)
        if tasks:
            ray.wait(tasks, num_returns=len(tasks), timeout=10 if cancel else None)
        self._running.clear()
        ray.shutdown()

