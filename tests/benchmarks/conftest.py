"""Stores: an SQLite file, and a Postgres server where there is one."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from pellucid.benchmarks.store import Store


@pytest.fixture(scope="session")
def postgres():
    """A server on a socket in a folder of its own; its URL."""
    psycopg = pytest.importorskip("psycopg")
    if not (shutil.which("postgres") and shutil.which("initdb")):
        pytest.skip("needs the binaries of a Postgres server")
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    folder = Path(tempfile.mkdtemp(prefix="pellucid-", dir="/tmp"))  # a socket's path must be short
    if os.getuid() == 0:  # Postgres refuses to run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    subprocess.run(["initdb", "-D", folder / "data", "-U", "toy", "--no-sync", "--no-locale", "-E", "UTF8"],
                   cwd=folder, check=True, **options)
    server = subprocess.Popen(["postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-F"],
                              cwd=folder, **options)
    url = f"postgresql://toy@/postgres?host={folder}"
    try:
        for _ in range(200):
            with contextlib.suppress(psycopg.OperationalError):  # not up yet
                psycopg.connect(url).close()
                break
            time.sleep(0.05)
        yield url
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: its files are of no use any more
        server.wait()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """A new store's place."""
    if request.param == "sqlite":
        return tmp_path / "new" / "results.sqlite"
    url, psycopg = request.getfixturevalue("postgres"), pytest.importorskip("psycopg")
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS results, pellucid_schema")
    return url


@pytest.fixture
def store(place):
    with Store(place) as opened:
        yield opened
