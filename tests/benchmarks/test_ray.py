import os
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from toy_jobs import Fixed, calls, check_the_pair, outcomes_of, toy, toy_job

from pellucid.benchmarks.engines import make_engine
from pellucid.benchmarks.job import Job
from pellucid.benchmarks.local_engines import InProcess
from pellucid.benchmarks.runner import run
from pellucid.benchmarks.store import Store
from pellucid.errors import PellucidError

pytestmark = pytest.mark.slow


def ray_processes():
    return [p for p in psutil.Process().children(recursive=True) if "ray" in " ".join(p.cmdline())]


@pytest.fixture(scope="module")
def cluster():
    """One for all tests: it and the imports of its workers take seconds."""
    if not find_spec("ray"):
        pytest.skip("needs Ray")
    from pellucid.benchmarks.ray_engine import RayEngine

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # for the workers to find the toy
        with RayEngine("local", cpus=2) as engine:
            yield engine
    assert not ray_processes()


def test_tasks_give_the_results_of_this_process(tmp_path, cluster):
    assert cluster.slots == 2
    assert cluster.wait() == []
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected, got = (outcomes_of(engine, [toy_job(folder, "one"), toy_job(folder, "two"),
                                          toy_job(folder, "bad", error="too\nlong")])
                     for engine, folder in [(InProcess(), tmp_path / "a"), (cluster, tmp_path / "b")])
    for name in ("one", "two"):
        assert got[name].result.pop("threads") == "1"
        expected[name].result.pop("threads")
        assert got[name].result == expected[name].result
    assert (got["bad"].result, got["bad"].reason, got["bad"].lost) == (None, "ValueError: too", False)


def test_a_worker_killed_in_its_job_loses_only_that(tmp_path, cluster, capfd):
    with Store(tmp_path / "results.sqlite") as store:
        check_the_pair(tmp_path, store, cluster, run)
    assert capfd.readouterr().out == ""  # where JSON may go: Ray says nothing there


def test_a_job_that_always_kills_its_worker_fails_with_the_reason(tmp_path, cluster):
    with Store(tmp_path / "results.sqlite") as store:
        [record] = run(Fixed(toy_job(tmp_path, "deadly", die=9)), store, cluster, toy, retries=0).values()
    assert record.status == "failed"
    assert record.reason.startswith("WorkerCrashedError: The worker died unexpectedly")
    assert calls(tmp_path) == ["deadly"]


def test_more_than_the_machine_has_is_refused(cluster):
    with pytest.raises(PellucidError, match="expected 100 GPU for big, got 0 on this machine"):
        cluster.submit(Job("k", "big", {}, gpus=100), toy)
    assert cluster.wait() == []


def test_an_interrupted_run_ends_the_cluster_and_gives_back_what_ran(tmp_path, cluster):
    def interrupt(event):
        if event.kind == "finished":
            raise KeyboardInterrupt

    jobs = [toy_job(tmp_path, "short", wait_for="long began"),
            toy_job(tmp_path, "long", touch=["long began"], wait_for="never")]
    with Store(tmp_path / "results.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            run(Fixed(*jobs), store, cluster, toy, watch=interrupt)
        assert store.records(job.key for job in jobs).keys() == {"key of short"}
    assert not ray_processes()


def test_a_cluster_that_is_not_there_is_told():
    if not find_spec("ray"):
        pytest.skip("needs Ray")
    with pytest.raises(PellucidError, match=r"expected a Ray cluster at 127.0.0.1:1, got an error .* use --ray local"):
        make_engine(ray="127.0.0.1:1")


def test_without_ray_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "pellucid.benchmarks.ray_engine", raising=False)
    with pytest.raises(PellucidError) as caught:
        make_engine(ray="local")
    assert str(caught.value) == "expected Ray for --ray, got none installed; pip install 'pellucid[distributed]'"
