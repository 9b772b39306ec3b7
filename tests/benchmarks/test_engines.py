import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from toy_jobs import Fixed, calls, check_the_pair, outcomes_of, toy, toy_job, wait_until

from pellucid.benchmarks.engine import attempt
from pellucid.benchmarks.engines import make_engine
from pellucid.benchmarks.job import Job
from pellucid.benchmarks.local_engines import InProcess, Processes
from pellucid.benchmarks.runner import run
from pellucid.benchmarks.store import Store


@pytest.fixture(scope="module")
def processes():
    """One pool for all tests: a worker needs seconds for its imports."""
    with Processes(2) as engine:
        yield engine
    assert not workers_of(os.getpid())


def workers_of(pid):
    """Python's own helper process for shared resources is not one of them."""
    return [p for p in psutil.Process(pid).children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]


def threads_of(content):
    return {"threads": torch.get_num_threads()}


def exits(content):
    raise SystemExit(3)


def test_an_attempt_runs_on_one_thread_and_leaves_the_others():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert attempt(threads_of, {})[0] == {"threads": 1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_every_failure_is_a_reason_in_one_line():
    assert attempt(exits, {})[:2] == (None, "SystemExit: 3")
    assert attempt(lambda content: {"a": object()}, {})[1].startswith("PellucidError: expected what JSON can hold")

    def raises(content):
        raise ValueError(content)

    assert attempt(raises, "")[1] == "ValueError"
    assert attempt(raises, "a\0b \udcff\nc")[1] == "ValueError: ab ?"


def test_without_jobs_nothing_is_waited_for(processes):
    assert InProcess().wait() == []
    assert processes.wait() == []


def test_processes_give_the_results_of_this_process(tmp_path, processes):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected, got = (outcomes_of(engine, [toy_job(folder, "one"), toy_job(folder, "two"),
                                          toy_job(folder, "bad", error="too\nlong")])
                     for engine, folder in [(InProcess(), tmp_path / "a"), (processes, tmp_path / "b")])
    for name in ("one", "two"):
        assert got[name].result.pop("threads") == "1"
        expected[name].result.pop("threads")  # this process's environment is the caller's
        assert got[name].result == expected[name].result
        assert got[name].result["loss"] is None
        assert got[name].reason is None
    for outcomes in (expected, got):
        assert (outcomes["bad"].result, outcomes["bad"].reason) == (None, "ValueError: too")
        assert not outcomes["bad"].lost


@pytest.mark.slow
def test_a_worker_killed_in_its_job_loses_only_that(tmp_path, processes):
    with Store(tmp_path / "results.sqlite") as store:
        check_the_pair(tmp_path, store, processes, run)


@pytest.mark.slow
def test_a_worker_that_died_while_idle_is_replaced(tmp_path, processes):
    [outcome] = outcomes_of(processes, [toy_job(tmp_path, "first")]).values()
    assert outcome.reason is None
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()
    [outcome] = outcomes_of(processes, [toy_job(tmp_path, "second")]).values()
    assert outcome.reason is None


def test_waiting_may_end_before_the_job(tmp_path, processes):
    processes.submit(toy_job(tmp_path, "slow", wait_for="go"), toy)
    assert processes.wait(timeout=0.01) == []
    (tmp_path / "go").touch()
    assert len(processes.wait()) == 1


def test_what_a_worker_cannot_import_is_a_reason(tmp_path, processes, monkeypatch):
    (tmp_path / "only_here.py").write_text("def execute(content): pass")
    with monkeypatch.context() as here:
        here.syspath_prepend(tmp_path)
        execute = importlib.import_module("only_here").execute
    processes.submit(Job("k", "k", {}), execute)
    [outcome] = processes.wait()
    assert outcome.reason == "ModuleNotFoundError: No module named 'only_here'"
    assert not outcome.lost


SCRIPT = """
import signal
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from toy_jobs import Fixed, toy, toy_job
from pellucid.benchmarks.local_engines import Processes
from pellucid.benchmarks.runner import run
from pellucid.benchmarks.store import Store

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
    folder = Path(sys.argv[2])
    jobs = [toy_job(folder, "long", touch=["long began"], wait_for="never"), toy_job(folder, "short")]
    with Store(folder / "results.sqlite") as store, Processes(count := int(sys.argv[3])) as engine:
        run(Fixed(*jobs[:count]), store, engine, toy)
"""


def start_script(folder, count, **options):
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, folder / "script.py", Path(__file__).parent, folder, str(count)]
    return subprocess.Popen(command, **options)


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_gives_back_what_ran(tmp_path):
    place = tmp_path / "results.sqlite"
    with start_script(tmp_path, 2, start_new_session=True, stderr=subprocess.PIPE, text=True) as runner:
        wait_until(lambda: (tmp_path / "short.ended").exists() and (tmp_path / "long began").exists())
        with Store(place) as store:
            wait_until(lambda: store.get("key of short").status == "done")
        family = workers_of(runner.pid)
        os.killpg(runner.pid, signal.SIGINT)  # as a terminal does: to the workers too
        errors = runner.stderr.read()
    assert runner.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.endswith("KeyboardInterrupt\n")
    assert len(family) == 2
    assert not psutil.wait_procs(family, timeout=5)[1]
    with Store(place) as store:
        assert store.records(["key of short", "key of long"]).keys() == {"key of short"}
        run(Fixed(toy_job(tmp_path, "short"), toy_job(tmp_path, "long")), store, InProcess(), toy)
    assert calls(tmp_path) == ["long", "long", "short"]


@pytest.mark.slow
def test_workers_end_with_a_runner_that_was_killed(tmp_path):
    with start_script(tmp_path, 1) as runner:
        wait_until((tmp_path / "long began").exists)
        family = workers_of(runner.pid)
        runner.kill()
    assert len(family) == 1
    assert not psutil.wait_procs(family, timeout=5)[1]


def test_closing_waits_for_what_runs(tmp_path, processes):
    processes.submit(toy_job(tmp_path, "last", sleep=0.1), toy)
    processes.close()
    assert not workers_of(os.getpid())
    assert calls(tmp_path) == ["last"]
    assert (tmp_path / "last.ended").exists()


def test_the_engine_of_the_options():
    assert isinstance(make_engine(), InProcess)
    with make_engine(3) as engine:
        assert isinstance(engine, Processes)
        assert engine.slots == 3
