"""What a person at a terminal sees: a console, and a bar on stderr for work that takes long."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PATIENCE = 2.0
"""Seconds that work may take before it shows a bar."""


def console(stderr: bool = True) -> Console:
    """Where people read: texts and tables come out as they are, for Rich's markup and emoji codes are off.

    Names, paths, SMILES and docstrings have square brackets and colons of their own, which markup would swallow.

    Args:
        stderr: Whether it writes to stderr, not to stdout.

    Example:
        >>> console(stderr=False).print("C[C:1](=O)[red]O :on:")
        C[C:1](=O)[red]O :on:
    """
    from rich.console import Console  # slow to import

    return Console(stderr=stderr, markup=False, emoji=False)


@contextlib.contextmanager
def waiting(what: str, show: bool = True, count: bool = False) -> Iterator[Callable[[float, float | None], None]]:
    """A bar on stderr for work that takes longer than :data:`PATIENCE`.

    Args:
        what: What is done, shown before the bar.
        show: Whether to show anything.
        count: Whether work is counted in pieces, shown as 3/8, rather than as a share; as 3/? with pieces a second
            where nobody knows how many there are.

    Yields:
        A function to call with the work done and the work in all, None where that is not known; until then the bar
        says that it runs.
    """
    if not show:
        yield lambda done, total: None
        return
    made: list[tuple[Any, Any]] = []
    at: tuple[float, float | None] = 0, None
    lock = threading.Lock()

    def start() -> None:
        from rich.progress import (  # slow to import, and most work is done before a bar is shown
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        with lock:
            figures: list[Any] = [TaskProgressColumn(), TimeElapsedColumn()]
            if count:
                figures = [MofNCompleteColumn(), TaskProgressColumn("", show_speed=True), TimeRemainingColumn()]
            bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(), *figures, console=console())
            made.append((bar, bar.add_task(what, total=at[1])))
            bar.start()
            bar.update(made[0][1], completed=at[0])

    def advance(done: float, total: float | None) -> None:
        nonlocal at
        with lock:
            at = done, total
            for bar, task in made:
                bar.update(task, completed=done, total=total)

    timer = threading.Timer(PATIENCE, start)
    timer.daemon = True
    timer.start()
    try:
        yield advance
    finally:
        timer.cancel()
        timer.join()
        for bar, _ in made:
            bar.stop()


def say(sentence: str, show: bool = True) -> None:
    """A sentence on stderr that a person should read before the work is done.

    Args:
        sentence: What to say.
        show: Whether to say anything.
    """
    if show:
        sys.stderr.write(sentence + "\n")
