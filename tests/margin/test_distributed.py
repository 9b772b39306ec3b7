"""A graph built by Ray against the same in one process, with a worker killed in the middle."""

import contextlib
import threading
import time
from importlib.util import find_spec

import numpy as np
import psutil
import pytest

from pellucid.errors import PellucidError
from pellucid.margin import WrongLabels, graph_of, influence, nearest

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")

TASKS = ("ray::table", "ray::own", "ray::others", "ray::merged")
"""What workers call themselves that are at a task."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    random = np.random.default_rng(0)
    label = random.integers(40, size=4000)
    x = (4 * random.normal(size=(40, 12))[label] + random.normal(size=(4000, 12))).astype(np.float32)
    x[::100] = x[0]  # duplicates
    path = tmp_path_factory.mktemp("data") / "x.npy"
    np.save(path, x)
    return path, x, label % 5


def kill_a_worker(killed):
    """Ends the process of a worker that is at its task, as a system does when memory is short."""
    for _ in range(2000):
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                name = " ".join(process.cmdline())
                if name.startswith(TASKS):
                    process.kill()
                    killed.append(name)
                    return
        time.sleep(0.005)


@pytest.mark.slow
def test_the_same_graph_and_scores_as_one_process_though_a_worker_dies(data):
    from pellucid.distributed.graph import ray_graph

    path, x, y = data
    found = nearest(x, 10, search="approximate", threads=1)
    one = graph_of(found, weights="self-tuning")
    signal_ = np.random.default_rng(1).normal(size=len(x))
    killed = []

    def watch(stage):
        if stage == "neighbours":
            killer.start()

    killer = threading.Thread(target=kill_a_worker, args=(killed,), daemon=True)

    with ray_graph(path, 10, shards=2, cpus=2, weights="self-tuning", watch=watch, memory=2**28) as graph:
        killer.join()
        assert len(killed) == 1
        assert graph.nodes == len(x)
        assert graph.about["probes"] == found.about["probes"]
        assert graph.about["recall"] == pytest.approx(found.about["recall"], abs=1e-3)
        np.testing.assert_allclose(graph.weights.toarray(), one.weights.toarray(), atol=1e-4)
        np.testing.assert_allclose(influence(graph, signal_), influence(one, signal_), atol=1e-4)
        np.testing.assert_allclose(WrongLabels().fit(graph, y).influence_, WrongLabels().fit(one, y).influence_,
                                   atol=1e-4)
        np.testing.assert_allclose(graph.in_degree, one.in_degree, rtol=1e-4)
        assert (graph.isolated == one.isolated).all()


def test_bad_input_is_one_sentence(data, tmp_path):
    from pellucid.distributed.graph import ray_graph

    path, *_ = data
    (tmp_path / "text.npy").write_text("text")
    np.save(tmp_path / "flat.npy", np.zeros(5))
    np.save(tmp_path / "gap.npy", np.full((5, 2), np.nan))
    for call, message in ((lambda: ray_graph(tmp_path / "none.npy"), "expected a .npy file of features"),
                          (lambda: ray_graph(tmp_path / "text.npy"), "expected a .npy file of features"),
                          (lambda: ray_graph(tmp_path / "flat.npy"), r"expected features as \(samples, features\)"),
                          (lambda: ray_graph(path, 4000), "expected k from 1 to 3999"),
                          (lambda: ray_graph(path, symmetry="both"), "expected symmetry as union"),
                          (lambda: ray_graph(path, weights="heavy"), "expected weights as binary"),
                          (lambda: ray_graph(tmp_path / "gap.npy"), "expected finite features"),
                          (lambda: ray_graph(path, address="127.0.0.1:9"), "expected a Ray cluster at 127.0.0.1:9")):
        with pytest.raises(PellucidError, match=message), call():
            pass
