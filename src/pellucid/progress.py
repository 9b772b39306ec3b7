"""A bar on stderr for work that takes long."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

PATIENCE = 2.0
"""Seconds that work may take before it shows a bar."""


@contextlib.contextmanager
def waiting(what: str, show: bool = True) -> Iterator[Callable[[float, float], None]]:
    """A bar on stderr for work that takes longer than :data:`PATIENCE`.

    Args:
        what: What is done, shown before the bar.
        show: Whether to show anything.

    Yields:
        A function to call with the work done and the work in all; until then the bar says that it runs.
    """
    bar = Bar(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
              console=Console(file=sys.stderr))
    task = bar.add_task(what, total=None)
    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    if show:
        timer.start()
    try:
        yield lambda done, total: bar.update(task, completed=done, total=total)
    finally:
        timer.cancel()
        if show:
            timer.join()
        if bar.live.is_started:  # otherwise it would write an empty line
            bar.stop()
