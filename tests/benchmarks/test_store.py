import math
import sqlite3
import subprocess
import sys
import threading
import time
import traceback

import pytest

from pellucid.benchmarks.job import Job
from pellucid.benchmarks.store import Store
from pellucid.errors import DamagedFileError, PellucidError

JOB = Job("k", "egnn seed 0", {"backbone": "egnn"})


def test_a_job_is_claimed_once_then_done(store):
    assert store.get("k") is None
    assert store.claim(JOB) == "claimed"
    assert store.claim(JOB) == "running"
    assert store.get("k").status == "running"
    assert store.finish("k", {"loss": 0.5, "worst": math.nan, "shape": (1, math.inf)}, 2.0)
    assert store.claim(JOB, retry_failed=True) == "done"
    record = store.get("k")
    assert (record.label, record.content, record.seconds, record.attempts) == (JOB.label, JOB.content, 2.0, 1)
    assert record.result == {"loss": 0.5, "worst": None, "shape": [1, None]}


def test_a_failed_job_is_claimed_again_only_on_request(store):
    store.claim(JOB)
    assert store.fail("k", "ValueError: no", 1.0)
    assert store.claim(JOB) == "failed"
    assert store.get("k").reason == "ValueError: no"
    assert store.claim(JOB, retry_failed=True) == "claimed"
    record = store.get("k")
    assert (record.status, record.reason, record.seconds, record.attempts) == ("running", None, None, 2)


def test_a_released_job_is_as_if_never_begun(store):
    other = Job("l", "other", {})
    store.claim(JOB)
    store.claim(other)
    store.release("k")
    assert store.records(["k", "l"]).keys() == {"l"}
    store.finish("l", {}, 1.0)
    store.claim(JOB)
    store.release()
    assert store.records(["k", "l"]).keys() == {"l"}


def test_a_second_attempt_is_recorded(store):
    store.claim(JOB)
    assert store.retry("k", "its worker died")
    record = store.get("k")
    assert (record.status, record.attempts, record.reason) == ("running", 2, "its worker died")
    store.finish("k", {}, 1.0)
    assert store.get("k").reason is None


def test_a_stale_lease_is_taken_over_and_the_late_owner_changes_nothing(place):
    with Store(place) as dead, Store(place, lease=0.05) as heir:
        dead.claim(JOB)
        time.sleep(0.1)
        assert heir.claim(JOB) == "claimed"
        assert not dead.finish("k", {"by": "dead"}, 1.0)
        assert not dead.fail("k", "late")
        assert not dead.retry("k", "late")
        dead.release("k")
        assert heir.finish("k", {"by": "heir"}, 1.0)
        assert heir.get("k").result == {"by": "heir"}
        assert heir.get("k").attempts == 2


def test_the_lease_is_renewed_while_the_job_runs(place):
    with Store(place, lease=0.9) as alive, Store(place, lease=0.9) as other:
        alive.claim(JOB)
        time.sleep(1.3)
        assert other.claim(JOB) == "running"
    assert not [t for t in threading.enumerate() if t.name == "pellucid-lease"]


def test_of_many_who_claim_at_once_one_gets_the_job(place):
    stores = [Store(place) for _ in range(4)]
    jobs = [Job(str(i), "a job", {}) for i in range(10)]
    claims = []
    start = threading.Barrier(len(stores))

    def claim_all(store):
        start.wait()
        claims.extend((job.key, store.claim(job)) for job in jobs)

    threads = [threading.Thread(target=claim_all, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(key for key, claim in claims if claim == "claimed") == sorted(job.key for job in jobs)
    assert len(claims) == 40


def test_a_store_opened_by_many_at_once_is_made_once(place):
    errors = []

    def open_it():
        try:
            Store(place)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_seconds_from_history(store):
    for seed, seconds in enumerate([1.0, 2.0, 9.0]):
        store.claim(Job(f"e{seed}", f"egnn seed {seed}", {"backbone": "egnn"}))
        store.finish(f"e{seed}", {}, seconds)
    store.claim(Job("d", "dgcnn seed 0", {"backbone": "dgcnn"}))
    assert store.seconds_of() == {"egnn seed": 2.0}
    store.fail("d", "no", 5.0)
    assert store.seconds_of(lambda record: record.content["backbone"]) == {"egnn": 2.0}
    assert store.seconds_of(lambda record: None) == {}


@pytest.mark.parametrize("result", [{"a": object()}, {"a": {1, 2}}])
def test_a_result_that_json_cannot_hold_is_refused_and_nothing_is_written(store, result):
    store.claim(JOB)
    with pytest.raises(PellucidError, match="expected what JSON can hold"):
        store.finish("k", result, 1.0)
    assert store.get("k").status == "running"


def test_a_store_survives_being_opened_again(place):
    with Store(place) as store:
        store.claim(JOB)
        store.finish("k", {"a": 1}, 1.0)
    with Store(place) as store:
        assert store.get("k").result == {"a": 1}


LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def locked(tmp_path):
    path = tmp_path / "results.sqlite"
    Store(path).close()
    with subprocess.Popen([sys.executable, "-c", LOCK, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"locked\n"
        yield path, holder


def test_a_file_locked_by_another_process_is_told_after_the_wait(locked):
    path, _ = locked
    started = time.monotonic()
    with pytest.raises(PellucidError) as caught:
        Store(path, wait=0.3)
    assert str(caught.value) == (f"expected a free result store, got {path} locked by another process; wait for it or "
                                 "give another --store")
    assert 0.3 <= time.monotonic() - started < 5


def test_a_lock_that_ends_in_time_is_waited_for(locked):
    path, holder = locked
    threading.Timer(0.3, holder.stdin.close).start()
    with Store(path, wait=20) as store:
        assert store.claim(JOB) == "claimed"


def test_a_missed_sign_of_life_ends_nothing(tmp_path):
    path = tmp_path / "results.sqlite"
    with Store(path, lease=0.12, wait=0.3) as store:
        store.claim(JOB)
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        time.sleep(0.1)
        with pytest.raises(PellucidError, match="locked by another process"):
            store.finish("k", {}, 1.0)
        blocker.execute("COMMIT")
        blocker.close()
        assert store.finish("k", {}, 1.0)


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path):
    path = tmp_path / "results.sqlite"
    path.write_text("something else " * 100)
    with pytest.raises(DamagedFileError, match=r"expected a result store, got .*results.sqlite, which is not an"):
        Store(path)
    assert path.read_text() == "something else " * 100


def test_a_newer_store_is_told(tmp_path):
    path = tmp_path / "results.sqlite"
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE pellucid_schema SET version = 2")
    connection.commit()
    connection.close()
    with pytest.raises(PellucidError, match=r"expected a result store of version 1, got version 2 .* update pellucid"):
        Store(path)


def test_a_table_of_results_that_is_not_ours_is_told(tmp_path):
    path = tmp_path / "results.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE results (a)")
    connection.close()
    with pytest.raises(PellucidError, match="with a table of results that is not pellucid's"):
        Store(path)


def test_a_place_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PellucidError, match="expected a folder for the result store"):
        Store(tmp_path / "file" / "results.sqlite")
    with pytest.raises(PellucidError, match="unable to open database file"):
        Store(tmp_path)


@pytest.mark.parametrize("url", [
    "postgresql://me:s3cret%40word@localhost:1/db", "postgresql://me@localhost:1/db?password=s3cret%40word",
    "postgresql://me:x:s3cret@word@localhost:p/db", "mysql://me:s3cret%40word@localhost/db",
    "postgresql://me:s3cret%40word@localhost:1/db?nonsense=1", "sqlite://", "nonsense://s3cret@word"])
def test_a_url_that_leads_nowhere_is_told_without_its_password(url):
    with pytest.raises(PellucidError) as caught:
        Store(url, wait=2)
    assert "expected" in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_an_sqlite_url_is_a_path(tmp_path):
    with Store(f"sqlite:///{tmp_path}/a.sqlite") as store:
        assert repr(store) == f"Store('{tmp_path}/a.sqlite')"
    assert (tmp_path / "a.sqlite").is_file()


def test_a_store_whose_server_asks_for_a_driver_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(PellucidError, match="expected psycopg for a store in Postgres, got none installed"):
        Store("postgresql://localhost/db")
