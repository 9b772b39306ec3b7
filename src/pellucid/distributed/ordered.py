"""A function over many pieces of work, in this process, in worker processes or on a Ray cluster; order is kept."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pellucid.distributed.workers import begin, inherited
from pellucid.errors import PellucidError

A = TypeVar("A")
B = TypeVar("B")

AHEAD = 2
"""Pieces that are under way for each worker: the next one waits where the worker is."""


def ordered(function: Callable[[A], B], pieces: Iterable[A], *, workers: int = 1, ray: str | None = None
            ) -> Iterator[B]:
    """``map(function, pieces)`` with bounded memory: few pieces are under way, and no result waits behind many others.

    Every piece is worked on by one thread of torch, so that results are the same to the last bit wherever that is.

    Args:
        function: A module-level function.
        pieces: Its arguments, read as they are needed; pickled where they leave this process.
        workers: Processes on this machine; 1 works in this one.
        ray: Address of a Ray cluster, ``"local"`` to start one here, or None.

    Yields:
        Results in the order of the pieces.

    Raises:
        PellucidError: if a worker dies, Ray is not installed or its cluster does not answer; and what the function
            raises.

    Example:
        >>> list(ordered(abs, [-1, 2, -3]))
        [1, 2, 3]
    """
    if workers < 1:
        raise PellucidError(f"expected at least 1 worker, got {workers}")
    if ray is not None:
        yield from _on_ray(function, pieces, ray)
    elif workers > 1:
        yield from _in_processes(function, pieces, workers)
    else:
        for piece in pieces:
            yield alone(function, piece)


def alone(function: Callable[[A], B], piece: A) -> B:
    """The function on one thread of torch."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(piece)
    finally:
        torch.set_num_threads(threads)


def _unpickled(message: bytes) -> bytes:
    function, piece = pickle.loads(message)
    return pickle.dumps(alone(function, piece))  # here, since torch's own way of passing tensors uses up file handles


def _in_processes(function: Callable[[A], B], pieces: Iterable[A], workers: int) -> Iterator[B]:
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=begin)
    running: deque[Future[bytes]] = deque()
    try:
        for piece in pieces:
            with inherited():  # a worker starts when there is work for it
                running.append(pool.submit(_unpickled, pickle.dumps((function, piece))))
            if len(running) >= AHEAD * workers:
                yield pickle.loads(running.popleft().result())
        while running:
            yield pickle.loads(running.popleft().result())
    except BrokenProcessPool:
        raise PellucidError("expected workers that live until the end, got one that died; free some memory, or take "
                            "fewer --workers") from None
    finally:  # after an interrupt too
        for process in list((pool._processes or {}).values()) if running else []:
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def _on_ray(function: Callable[[A], B], pieces: Iterable[A], address: str) -> Iterator[B]:
    from pellucid.distributed.connection import amount, connect

    connect(address)
    import ray
    from ray.exceptions import RayError, RayTaskError

    task: Any = ray.remote(max_retries=3)(_unpickled)
    running: deque[Any] = deque()

    def first() -> B:
        return pickle.loads(ray.get(running.popleft()))  # type: ignore[no-any-return]

    try:
        for piece in pieces:
            running.append(task.remote(pickle.dumps((function, piece))))
            if len(running) >= AHEAD * max(1, int(amount("CPU"))):
                yield first()
        while running:
            yield first()
    except RayTaskError as error:
        if isinstance(error.cause, PellucidError):
            raise PellucidError(str(error.cause)) from error
        raise
    except RayError as error:
        raise PellucidError(f"expected workers that live until the end, got one that died ({type(error).__name__}); "
                            "see the cluster's logs") from error
    finally:
        for left in running:
            with contextlib.suppress(RayError):
                ray.cancel(left, force=True)
        ray.shutdown()
