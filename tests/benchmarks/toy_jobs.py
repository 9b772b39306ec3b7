"""A toy job that workers import by name: it notes its calls in a file and does what its content says."""

import os
import random
import signal
import time
from pathlib import Path

from pellucid.benchmarks.job import Job


def toy(content):
    folder = Path(content["folder"])
    with (folder / "calls.txt").open("a") as file:
        file.write(f"{content['name']} {os.getpid()}\n")
    for name in content.get("touch", ()):
        (folder / name).touch()
    if "wait_for" in content:
        wait_until((folder / content["wait_for"]).exists)
    if once(content, "die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if once(content, "interrupt"):
        raise KeyboardInterrupt
    if "error" in content:
        raise ValueError(content["error"])
    time.sleep(content.get("sleep", 0))
    (folder / f"{content['name']}.ended").touch()
    numbers = random.Random(content["name"])
    return {"name": content["name"], "mean": sum(numbers.gauss() for _ in range(1000)) / 1000, "loss": float("nan"),
            "shape": (2, 3), "threads": os.environ.get("OMP_NUM_THREADS")}


def once(content, what):
    """Whether ``what`` is to happen in this call: it does in the first ``content[what]`` ones."""
    done = [line.split()[0] for line in (Path(content["folder"]) / "calls.txt").read_text().splitlines()]
    return done.count(content["name"]) <= content.get(what, 0)


def wait_until(condition, seconds=150):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def toy_job(folder, name, needs=(), **content):
    return Job(f"key of {name}", f"job {name}", {"folder": str(folder), "name": name, **content},
               tuple(f"key of {need}" for need in needs))


def calls(folder):
    """The names of the jobs, once for each time that one was begun."""
    file = folder / "calls.txt"
    return sorted(line.split()[0] for line in file.read_text().splitlines()) if file.exists() else []


class Fixed:
    """A plan that does not grow."""

    def __init__(self, *jobs):
        self.jobs = list(jobs)

    def next(self, results):
        return self.jobs


def outcomes_of(engine, jobs):
    """Name -> outcome of jobs that are executed."""
    outcomes, jobs = [], list(jobs)
    for begun in range(1, len(jobs) + 1):
        engine.submit(jobs[begun - 1], toy)
        while begun - len(outcomes) == engine.slots or (begun == len(jobs) and len(outcomes) < begun):
            outcomes += engine.wait()
    return {outcome.job.content["name"]: outcome for outcome in outcomes}


def pair_with_a_death(folder):
    """One job kills its worker while the other is in its middle, which ends only when the first one ran again."""
    return [toy_job(folder, "victim", die=1, wait_for="other began", touch=["victim began"]),
            toy_job(folder, "other", touch=["other began"], wait_for="victim.ended")]


def check_the_pair(folder, store, engine, run):
    """The whole story of :func:`pair_with_a_death` on an engine with two workers."""
    events = []
    records = run(Fixed(*pair_with_a_death(folder)), store, engine, toy,
                  watch=lambda event: events.append((event.kind, event.job.content["name"])))
    assert {record.status for record in records.values()} == {"done"}
    assert calls(folder) == ["other", "victim", "victim"]
    assert events[2] == ("retried", "victim")
    assert sorted(events[3:]) == [("finished", "other"), ("finished", "victim")]  # both may end at once
    assert {r.content["name"]: r.attempts for r in records.values()} == {"victim": 2, "other": 1}
    return records
