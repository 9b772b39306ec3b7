"""Where jobs are executed: in this process, in local worker processes, or on a Ray cluster."""

from __future__ import annotations

from pellucid.benchmarks.engine import Engine
from pellucid.benchmarks.local_engines import InProcess, Processes


def make_engine(processes: int = 1, ray: str | None = None) -> Engine:
    """The engine of the command line's options.

    Args:
        processes: Local worker processes; 1 stays in this process.
        ray: Address of a Ray cluster, ``"local"`` to start one on this machine, or None.

    Raises:
        PellucidError: if Ray is asked for and not installed, or its cluster does not answer.
    """
    if ray is not None:
        from pellucid.benchmarks.ray_engine import RayEngine

        return RayEngine(ray)
    return InProcess() if processes == 1 else Processes(processes)
