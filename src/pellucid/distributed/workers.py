"""Worker processes of this machine: what they have before their first import, and when they end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

THREADS = {"OMP_NUM_THREADS": "1"}
"""The environment of a worker: tasks share the cores, one each."""


@contextlib.contextmanager
def inherited() -> Iterator[None]:
    """What a worker must have before its first import: one thread, and no Ctrl-C, which is the parent's to handle."""
    old = {name: os.environ.get(name) for name in THREADS}
    main = threading.current_thread() is threading.main_thread()  # only there may signals be set
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    os.environ.update(THREADS)
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if interrupt is not None:
            signal.signal(signal.SIGINT, interrupt)


def begin() -> None:
    """In a worker, first: Ctrl-C is not its affair, and it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody is left to take the result
