import threading
import time

import pytest
from toy_jobs import Fixed, calls, toy, toy_job

from pellucid.benchmarks.engine import Engine, Outcome
from pellucid.benchmarks.local_engines import InProcess
from pellucid.benchmarks.runner import run
from pellucid.benchmarks.store import Store
from pellucid.errors import PellucidError


class Dying(Engine):
    """Loses the worker of every job that has ``die`` left; the real engines are tested where they are."""

    slots = 2

    def __init__(self):
        self.jobs, self.deaths = [], {}

    def submit(self, job, execute):
        self.jobs.append((job, execute))

    def wait(self, timeout=None):
        job, execute = self.jobs.pop(0)
        self.deaths[job.key] = self.deaths.get(job.key, 0) + 1
        if self.deaths[job.key] <= job.content.get("die", 0):
            return [Outcome(job, None, "its worker died (SIGKILL)", 1.0, lost=True)]
        return [Outcome(job, execute({**job.content, "die": 0}), None, 1.0)]

    def close(self, cancel=False):
        self.jobs.clear()


def run_toys(store, *jobs, engine=None, plan=None, **options):
    """The statuses and events, by name."""
    events = []
    records = run(plan or Fixed(*jobs), store, engine or InProcess(), toy,
                  watch=lambda event: events.append((event.kind, event.job.content["name"])), **options)
    return {record.content["name"]: record for record in records.values()}, events


def test_a_second_run_computes_nothing(tmp_path, store):
    jobs = [toy_job(tmp_path, name) for name in "abc"]
    first, events = run_toys(store, *jobs)
    assert events == [(kind, name) for name in "abc" for kind in ("started", "finished")]
    again, events = run_toys(store, *jobs)
    assert again == first
    assert events == [("cached", name) for name in "abc"]
    assert calls(tmp_path) == ["a", "b", "c"]
    assert first["a"].result["shape"] == [2, 3]
    assert first["a"].result["loss"] is None


def test_an_interrupted_run_goes_on_and_computes_nothing_twice(tmp_path, store):
    jobs = [toy_job(tmp_path, "a"), toy_job(tmp_path, "b", interrupt=1), toy_job(tmp_path, "c")]
    with pytest.raises(KeyboardInterrupt):
        run_toys(store, *jobs)
    assert store.records(job.key for job in jobs).keys() == {"key of a"}
    _, events = run_toys(store, *jobs)
    assert events == [("cached", "a"), ("started", "b"), ("finished", "b"), ("started", "c"), ("finished", "c")]
    assert calls(tmp_path) == ["a", "b", "b", "c"]


def test_needs_are_done_first(tmp_path, store):
    _, events = run_toys(store, toy_job(tmp_path, "c", needs=["a", "b"]), toy_job(tmp_path, "b", needs=["a"]),
                         toy_job(tmp_path, "a"))
    assert [name for kind, name in events if kind == "started"] == ["a", "b", "c"]


def test_a_failure_is_recorded_and_what_needs_it_runs_once_it_is_mended(tmp_path, store):
    jobs = [toy_job(tmp_path, "bad", error="no\nmore"), toy_job(tmp_path, "next", needs=["bad"]),
            toy_job(tmp_path, "last", needs=["next"]), toy_job(tmp_path, "good")]
    records, events = run_toys(store, *jobs)
    assert {name: record.reason for name, record in records.items()} == {
        "bad": "ValueError: no", "next": "needs job bad, which failed", "last": "needs job next, which failed",
        "good": None}
    assert ("failed", "last") in events
    assert store.get("key of next") is store.get("key of last") is None
    _, events = run_toys(store, *jobs)
    assert events == [("cached", "bad"), ("cached", "good"), ("failed", "next"), ("failed", "last")]
    del jobs[0].content["error"]
    records, events = run_toys(store, *jobs, retry_failed=True)
    assert {record.status for record in records.values()} == {"done"}
    assert calls(tmp_path) == ["bad", "bad", "good", "last", "next"]


def test_a_job_that_fails_again_is_not_tried_for_ever(tmp_path, store):
    job = toy_job(tmp_path, "bad", error="no")
    run_toys(store, job)
    run_toys(store, job, retry_failed=True)
    assert calls(tmp_path) == ["bad", "bad"]
    assert store.get(job.key).attempts == 2


def test_what_is_done_stays_done_when_its_need_fails(tmp_path, store):
    run_toys(store, toy_job(tmp_path, "next"))
    records, _ = run_toys(store, toy_job(tmp_path, "bad", error="no"), toy_job(tmp_path, "next", needs=["bad"]))
    assert (records["bad"].status, records["next"].status) == ("failed", "done")


def test_lost_jobs_are_retried_so_often(tmp_path, store):
    jobs = [toy_job(tmp_path, "once", die=1), toy_job(tmp_path, "ever", die=9)]
    records, events = run_toys(store, *jobs, engine=Dying(), retries=2)
    assert (records["once"].status, records["once"].attempts, records["once"].reason) == ("done", 2, None)
    assert (records["ever"].status, records["ever"].attempts) == ("failed", 3)
    assert records["ever"].reason == "its worker died (SIGKILL)"
    assert events.count(("retried", "ever")) == 2


def test_a_plan_may_grow_with_the_results(tmp_path, store):
    class Search:
        def next(self, results):
            searches = [toy_job(tmp_path, name) for name in ("search1", "search2")]
            if not all(job.key in results for job in searches):
                return searches
            best = max(searches, key=lambda job: results[job.key].result["mean"])
            return [*searches, toy_job(tmp_path, f"with-{best.content['name']}", needs=[best.content["name"]])]

    records, _ = run_toys(store, plan=Search())
    assert len(records) == 3
    again, events = run_toys(store, plan=Search())
    assert again == records
    assert {kind for kind, _ in events} == {"cached"}


@pytest.mark.parametrize("needs", [{"a": ["b"], "b": ["a"]}, {"a": ["nowhere"]}])
def test_a_plan_that_cannot_be_done_is_told(tmp_path, store, needs):
    jobs = [toy_job(tmp_path, "free"), *(toy_job(tmp_path, name, needs=need) for name, need in needs.items())]
    with pytest.raises(PellucidError, match="expected a plan with all that its jobs need, got 'job a'"):
        run_toys(store, *jobs)
    assert calls(tmp_path) == ["free"]


def test_two_runners_at_once_share_the_work(tmp_path, place):
    jobs = [toy_job(tmp_path, str(i), sleep=0.02, needs=["0"] if i > 3 else []) for i in range(8)]
    seen, errors = [], []

    def run_one():
        try:
            with Store(place) as store:
                seen.append(run_toys(store, *jobs, poll=0.02))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run_one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert calls(tmp_path) == [str(i) for i in range(8)]
    assert seen[0][0] == seen[1][0]
    assert all(("finished", "0") in events or ("cached", "0") in events for _, events in seen)


def test_a_failure_with_another_runner_is_not_retried_here(tmp_path, place):
    job = toy_job(tmp_path, "bad", error="no")
    with Store(place) as store, Store(place) as other:
        other.claim(job)
        threading.Timer(0.3, other.fail, [job.key, "failed there"]).start()
        records, events = run_toys(store, job, retry_failed=True, poll=0.02)
    assert records["bad"].reason == "failed there"
    assert events == [("cached", "bad")]
    assert calls(tmp_path) == []


def test_a_dead_runner_s_job_is_taken_over(tmp_path, place):
    jobs = [toy_job(tmp_path, "a"), toy_job(tmp_path, "b", needs=["a"])]
    with Store(place) as dead, Store(place, lease=0.3) as store:
        dead.claim(jobs[0])
        records, _ = run_toys(store, *jobs, poll=0.02)
    assert (records["a"].status, records["a"].attempts, records["b"].status) == ("done", 2, "done")


def test_after_a_lost_lease_the_other_runner_s_result_counts(tmp_path, place):
    job = toy_job(tmp_path, "a")
    with Store(place) as slow, Store(place, lease=0.01) as quick:

        def overtake(event):
            if event.kind == "started":
                time.sleep(0.05)
                assert quick.claim(job) == "claimed"
                threading.Timer(0.2, quick.finish, [job.key, {"by": "quick"}, 1.0]).start()

        records = run(Fixed(job), slow, InProcess(), toy, watch=overtake, poll=0.02)
    assert records[job.key].result == {"by": "quick"}


def test_an_error_of_the_watcher_gives_back_what_ran(tmp_path, store):
    def watch(event):
        raise RuntimeError("the display broke")

    with pytest.raises(RuntimeError):
        run(Fixed(toy_job(tmp_path, "a")), store, InProcess(), toy, watch=watch)
    assert store.get("key of a") is None
