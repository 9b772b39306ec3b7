"""What the speed benchmarks share: interleaved timing, memory, and a line about the machine."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(works: Mapping[str, Callable[[], Any]], rounds: int, warmup: int = 1,
                clock: Callable[[Callable[[], Any]], float] = seconds) -> dict[str, list[float]]:
    """Times of each work, taken in turn so that a slow minute of the machine hits all; the order turns round by round.

    Args:
        works: Name -> what to time.
        rounds: Times each is counted.
        warmup: Rounds before, which are not.
        clock: Runs a work and says how long it took.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for i in range(warmup + rounds):
        for name in names if i % 2 == 0 else reversed(names):
            took = clock(works[name])
            if i >= warmup:
                times[name].append(took)
    return times


def summary(times: list[float]) -> dict[str, float]:
    """Median and quartiles, in seconds."""
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return {"median": middle, "low": low, "high": high, "count": len(times)}


def resident() -> int:
    """Bytes of memory that this process holds now."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return peak_resident()


def reset_peak() -> None:
    """Forgets the peak so far, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_resident() -> int:
    """Largest number of bytes held since :func:`reset_peak`; since the start where the system cannot reset."""
    status = Path("/proc/self/status")
    if status.exists():  # not ru_maxrss: a child process begins with the peak of its parent there
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine() -> dict[str, Any]:
    """What a figure depends on besides the code."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.split(":")[1].strip() for line in info.read_text().splitlines()
                      if line.startswith("model name")), model)
    packages = ("pellucid", "torch", "torch_geometric", "numpy", "scipy", "scikit-learn")
    return {"cpu": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "load_average": round(os.getloadavg()[0], 2), "python": platform.python_version(),
            **{name: version(name) for name in packages}}
