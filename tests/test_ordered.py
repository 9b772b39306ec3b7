"""Work in pieces: the order is kept, few pieces are under way, and a worker that dies is told in a sentence."""

import math
import multiprocessing
import os

import pytest

from pellucid.distributed.ordered import AHEAD, ordered
from pellucid.errors import PellucidError


@pytest.mark.parametrize("workers", [1, 2])
def test_order_is_kept_few_pieces_are_under_way_and_no_worker_outlives_the_caller(workers):
    taken, found = [], []

    def pieces():
        for piece in range(-20, 0):
            taken.append(piece)
            yield piece

    results = ordered(abs, pieces(), workers=workers)
    for result in results:
        found.append(result)
        assert len(taken) - len(found) < AHEAD * workers, "input is read as it is needed"
        if len(found) == 15:
            assert bool(multiprocessing.active_children()) == (workers > 1)
            results.close()
    assert found == list(range(20, 5, -1))
    assert not multiprocessing.active_children()


def test_what_the_function_raises_comes_through():
    results = ordered(math.sqrt, [4.0, -1.0, 9.0])
    assert next(results) == 2
    with pytest.raises(ValueError, match="math domain error"):
        next(results)


@pytest.mark.slow
def test_a_worker_that_dies_is_told():
    with pytest.raises(PellucidError, match="expected workers that live until the end, got one that died"):
        list(ordered(os._exit, [1, 1], workers=2))


def test_no_workers_are_refused():
    with pytest.raises(PellucidError, match="expected at least 1 worker, got 0"):
        next(ordered(abs, [1], workers=0))
