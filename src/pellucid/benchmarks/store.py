"""The store of results: an SQLite file, or Postgres for many machines; who claims a job computes it, alone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sqlite3
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.schema import CreateTable

from pellucid.benchmarks.job import Job
from pellucid.errors import DamagedFileError, PellucidError

Status = Literal["running", "done", "failed"]
Claim = Literal["claimed", "running", "done", "failed"]

VERSION = 1
_tables = sa.MetaData()
_schema = sa.Table("pellucid_schema", _tables, sa.Column("name", sa.Text, primary_key=True),
                   sa.Column("version", sa.Integer, nullable=False))
_results = sa.Table(
    "results", _tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("heartbeat", sa.Double, nullable=False),  # times are seconds since 1970 by the clock of the database
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("finished", sa.Double),
    sa.Column("seconds", sa.Double),
)


@dataclass(frozen=True)
class Record:
    """What is known about one job.

    Attributes:
        key: As in the job.
        label: As in the job.
        content: As in the job.
        status: ``"running"``, ``"done"`` or ``"failed"``.
        result: What the job returned; None unless it is done.
        reason: Why it failed, or why its last attempt was lost.
        attempts: How often it was begun.
        seconds: What it took; None unless it came to an end.
    """

    key: str
    label: str
    content: dict[str, Any]
    status: Status
    result: dict[str, Any] | None = None
    reason: str | None = None
    attempts: int = 0
    seconds: float | None = None


_record = [_results.c[name] for name in Record.__dataclass_fields__]


def as_json(value: Any) -> Any:
    """What JSON makes of a value: NaN and infinity become None, tuples become lists.

    Raises:
        PellucidError: for what JSON cannot hold.

    Example:
        >>> as_json({"loss": float("nan"), "shape": (2, 3)})
        {'loss': None, 'shape': [2, 3]}
    """
    try:
        return json.loads(json.dumps(value), parse_constant=lambda _: None)
    except (TypeError, ValueError) as error:
        raise PellucidError(f"expected what JSON can hold, got {error}; convert it") from error


def label_group(record: Record) -> str:
    """The label without the number at its end: jobs that differ only by their seed.

    Example:
        >>> label_group(Record("a", "egnn lri-gaussian seed 12", {}, "done"))
        'egnn lri-gaussian seed'
    """
    return re.sub(r"\W*\d+$", "", record.label)


class Store:
    """Results by the key of their job, shared by all runners that are given the same place.

    A claimed job belongs to this store object until :meth:`finish`, :meth:`fail` or :meth:`release`; a background
    thread renews the lease meanwhile. Where a runner dies, its lease ends and another one may claim the job.

    Args:
        place: A path of an SQLite file, or ``postgresql://user:password@host/database``.
        lease: Seconds without a sign of life after which a running job may be taken over.
        wait: Seconds to wait for a file that another process has locked, or for a server that does not answer.

    Raises:
        PellucidError: if the place cannot be opened, is locked, or is of a newer pellucid.
        DamagedFileError: if the file is not an SQLite database.

    Example:
        >>> import tempfile
        >>> with Store(Path(tempfile.mkdtemp()) / "results.sqlite") as store:
        ...     store.claim(Job("k", "a job", {}))
        ...     store.finish("k", {"loss": 0.5}, seconds=2.0)
        ...     store.claim(Job("k", "a job", {})), store.get("k").result
        'claimed'
        True
        ('done', {'loss': 0.5})
    """

    def __init__(self, place: Path | str, *, lease: float = 120.0, wait: float = 30.0) -> None:
        self.lease = lease
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._beat: threading.Thread | None = None
        url = _url_of(place)
        self._postgres = url.get_backend_name() == "postgresql"
        self._secrets = [str(s) for s in (url.password, url.query.get("password")) if s]
        # never the URL itself in messages: it may hold a password, also as an option
        server = f"{url.host or ''}:{url.port}" if url.port else url.host or ""
        self.name = f"postgresql://{server}/{url.database or ''}" if self._postgres else str(url.database)
        # Journal mode stays SQLite's default: WAL breaks on network drives, and writes are rare here.
        options = {"connect_timeout": max(2, round(wait))} if self._postgres else {"timeout": wait}
        self._insert: Any = postgresql.insert if self._postgres else sqlite.insert
        self._now: sa.ColumnElement[float] = (
            sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double) if self._postgres
            else (sa.func.julianday("now", type_=sa.Double) - 2440587.5) * 86400.0)
        try:
            # a connection for each transaction: minutes pass between them, and servers close idle ones
            self._engine = sa.create_engine(url, connect_args=options, poolclass=sa.NullPool)
        except ModuleNotFoundError:
            raise PellucidError("expected psycopg for a store in Postgres, got none installed; pip install "
                                "'pellucid[distributed]'") from None
        self._open()

    def __repr__(self) -> str:
        return f"Store({self.name!r})"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the background thread. Jobs that are still claimed can be taken over when their lease has ended."""
        self._stop.set()
        if self._beat is not None:
            self._beat.join()

    def claim(self, job: Job, *, retry_failed: bool = False) -> Claim:
        """Takes a job, if nobody has done it or is at it; of all who ask at once, one is told ``"claimed"``.

        Args:
            job: The job.
            retry_failed: Whether a failed job may be taken again.

        Returns:
            ``"claimed"``: it is yours to do; else its status.
        """
        free = (_results.c.status == "running") & (_results.c.heartbeat < self._now - self.lease)
        if retry_failed:
            free |= _results.c.status == "failed"
        mine = {"label": job.label, "content": as_json(job.content), "status": "running", "result": None,
                "reason": None, "owner": self.owner, "heartbeat": self._now, "started": self._now, "finished": None,
                "seconds": None}
        statement = self._insert(_results).values(key=job.key, attempts=1, **mine).on_conflict_do_update(
            index_elements=["key"], where=free, set_={"attempts": _results.c.attempts + 1, **mine})
        while True:
            with self._transaction() as connection:
                if connection.scalar(statement.returning(_results.c.key)) is not None:
                    break
                status: Status | None = connection.scalar(sa.select(_results.c.status).where(_results.c.key == job.key))
            if status is not None:
                return status  # else it was released just now: try again
        if self._beat is None:
            self._beat = threading.Thread(target=self._renew, name="pellucid-lease", daemon=True)
            self._beat.start()
        return "claimed"

    def finish(self, key: str, result: dict[str, Any], seconds: float) -> bool:
        """Records the result of a claimed job.

        Returns:
            Whether it was recorded; False if the lease had ended and another runner has the job now.

        Raises:
            PellucidError: if JSON cannot hold the result.
        """
        return self._update(key, status="done", result=as_json(result), reason=None, seconds=seconds,
                            finished=self._now)

    def fail(self, key: str, reason: str, seconds: float | None = None) -> bool:
        """Records that a claimed job failed, and why; False as in :meth:`finish`."""
        return self._update(key, status="failed", reason=reason, seconds=seconds, finished=self._now)

    def retry(self, key: str, reason: str) -> bool:
        """Records that a claimed job begins again, and why; False as in :meth:`finish`."""
        return self._update(key, attempts=_results.c.attempts + 1, reason=reason, started=self._now)

    def release(self, key: str | None = None) -> None:
        """Gives back a claimed job, as if it had never been begun; all claimed ones if ``key`` is None."""
        with self._transaction() as connection:
            connection.execute(sa.delete(_results).where(self._mine(key)))

    def get(self, key: str) -> Record | None:
        """What is known about a job."""
        return self.records([key]).get(key)

    def records(self, keys: Iterable[str]) -> dict[str, Record]:
        """What is known about jobs; those that are not in the store are left out."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(*_record).where(_results.c.key.in_(list(keys))))
            return {row.key: Record(**row._mapping) for row in rows}

    def seconds_of(self, group: Callable[[Record], Hashable | None] = label_group) -> dict[Hashable, float]:
        """How long jobs took so far, for estimates.

        Args:
            group: The group of a record (which comes without its result), e.g. ``lambda r: r.content["backbone"]``;
                None leaves it out.

        Returns:
            Group -> median seconds of the jobs that are done.
        """
        columns = [c for c in _record if c.name != "result"]
        with self._transaction() as connection:
            rows = connection.execute(sa.select(*columns).where(_results.c.status == "done"))
            records = [Record(**row._mapping) for row in rows]
        seconds: defaultdict[Hashable, list[float]] = defaultdict(list)
        for record in records:
            name = group(record)
            if name is not None and record.seconds is not None:
                seconds[name].append(record.seconds)
        return {name: median(values) for name, values in seconds.items()}

    def _mine(self, key: str | None = None) -> sa.ColumnElement[bool]:
        mine = (_results.c.owner == self.owner) & (_results.c.status == "running")
        return mine if key is None else mine & (_results.c.key == key)

    def _update(self, key: str | None, **values: Any) -> bool:
        with self._transaction() as connection:
            done = connection.execute(sa.update(_results).where(self._mine(key)).values(heartbeat=self._now, **values))
            return done.rowcount > 0

    def _renew(self) -> None:
        while not self._stop.wait(self.lease / 6):
            with contextlib.suppress(PellucidError):  # locked or away: the lease outlives some missed signs of life
                self._update(None)

    def _open(self) -> None:
        if not self._postgres:
            try:
                Path(self.name).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise PellucidError(f"expected a folder for the result store {self.name}, got "
                                    f"{error.strerror or error}; give another --store") from error
        with self._transaction() as connection:
            there = set(sa.inspect(connection).get_table_names())
            if _results.name in there and _schema.name not in there:
                raise PellucidError(f"expected a result store, got {self.name} with a table of results that is not "
                                    "pellucid's; give another --store")
            if not {_results.name, _schema.name} <= there:
                if self._postgres:  # two at once would both see that there is no table
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(7355608)))
                # In this order, whatever is interrupted: where there are results, there is their version.
                connection.execute(CreateTable(_schema, if_not_exists=True))
                connection.execute(self._insert(_schema).values(name="results", version=VERSION)
                                   .on_conflict_do_nothing())
                connection.execute(CreateTable(_results, if_not_exists=True))
            version = connection.scalar(sa.select(_schema.c.version))
        if version != VERSION:
            raise PellucidError(f"expected a result store of version {VERSION}, got version {version} at {self.name}; "
                                "update pellucid or give another --store")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise self._told(error) from None  # a cause would show what the driver was given

    def _told(self, error: DBAPIError) -> PellucidError:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the high bits are details
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return PellucidError(f"expected a free result store, got {self.name} locked by another process; wait for "
                                 "it or give another --store")
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return DamagedFileError(f"expected a result store, got {self.name}, which is not an intact SQLite "
                                    "database; give another --store")
        text = (str(error.orig).splitlines() or ["an error"])[0]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return PellucidError(f"expected a result store at {self.name}, got an error ({text}); check it or give "
                             "another --store")


def _url_of(place: Path | str) -> sa.URL:
    if isinstance(place, Path) or "://" not in place:
        return sa.URL.create("sqlite", database=str(place))
    try:
        url = sa.make_url(place)
    except (ArgumentError, ValueError):  # their texts hold parts of the URL
        raise PellucidError("expected --store as a path or postgresql://user:password@host/database, got a URL that "
                            "cannot be read; write @, : and / in a password as %40, %3A and %2F") from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not url.database or url.database == ":memory:":
        raise PellucidError(f"expected a store in an SQLite file or in Postgres, got a URL of {backend}; give a path "
                            "or postgresql://user:password@host/database")
    return url
