"""The store in PostgreSQL, shared by several brokers: one writes at a time, each batch under one lock of the database.

World: connections to the server. A connection that breaks is made anew with back-off, for PATIENCE_S at most, before
callers are told. When it breaks while a commit is on its way, the batch's number is looked for under the same lock:
the server holds that until the old transaction has ended one way or the other, so the answer is final.
"""

from __future__ import annotations

import functools
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import NumericBinaryLoader

from strongroom.broker.store import Row, Tx, Value, address, transactions
from strongroom.broker.store.errors import StoreAddress, StoreConflict, StoreNotDurable, StoreUnavailable
from strongroom.broker.store.group import GroupWriter
from strongroom.broker.store.migrating import migrate
from strongroom.broker.store.transactions import SessionTx, Trouble

PATIENCE_S: Final = 8.0  # how long callers wait for a database that is gone
FIRST_PAUSE_S: Final = 0.05
MAX_PAUSE_S: Final = 1.0
READERS: Final = 4
WRITERS_LOCK: Final = 0x5374526D  # the advisory lock of this database under which brokers take turns
INTEGER, BLOB = "BIGINT", "BYTEA"
TEXT: Final = 'TEXT COLLATE "C"'  # sorted by bytes, as SQLite does
_CONNECTING: Final[dict[str, str | int]] = {
    "application_name": "strongroom-broker",
    "connect_timeout": 3,
    "target_session_attrs": "read-write",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_SESSION: Final = (
    "SET synchronous_commit = on; SET statement_timeout = '10s'; SET lock_timeout = '8s';"
    " SET idle_in_transaction_session_timeout = '10s'; SET client_encoding = 'UTF8';"
    " SET default_transaction_isolation = 'read committed'"
)
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_BEGIN: Final = f"BEGIN; SELECT pg_advisory_xact_lock({WRITERS_LOCK}); {_NOW}"
_SNAPSHOT: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_NOW}"
T = TypeVar("T")


class _BoolAsNumber(Dumper):
    """SQLite has no truth values; neither has the store."""

    oid = psycopg.adapters.types["int2"].oid

    def dump(self, obj: object) -> bytes:
        return b"1" if obj else b"0"


class _NumberAsInt(NumericBinaryLoader):
    """Sums of integers come as `numeric`."""

    def load(self, data: Buffer) -> Any:  # noqa: ANN401  # the base class gives a Decimal
        return int(super().load(data))


class PostgresStore:
    """A Store in the PostgreSQL database at `url`.

    Raises StoreAddress, StorePassword, StoreUnencrypted, StoreNotDurable, StoreTooNew, StoreMoved or StoreUnavailable.
    """

    shared = True

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S) -> None:
        try:
            words = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
        except psycopg.Error:
            raise StoreAddress("the database's address cannot be read") from None  # libpq's sentence may hold it
        words = address.checked(words, os.environ)
        self.description = address.description(words)
        self._connect = functools.partial(_connect, words, self.description)
        self._patience_s = patience_s
        self._session = _Session(self._connect, patience_s)
        self._readers: list[psycopg.Connection[Row]] = []
        self._slots = threading.BoundedSemaphore(READERS)
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._session.begin_with_tables()
        except Trouble as trouble:
            raise trouble.error from None
        except BaseException:
            self._session.discard()
            raise
        self._writer = GroupWriter(lambda tasks: transactions.run(self._session, tasks), name="store-writer")

    def write(self, operation: Callable[[Tx], T]) -> T:
        """Run `operation` in a transaction and return its result once that is durable."""
        return self._writer.write(operation)

    def submit(self, operation: Callable[[Tx], T]) -> Future[T]:
        """Do the same without waiting."""
        return self._writer.submit(operation)

    def read(self, operation: Callable[[Tx], T]) -> T:
        """Run an operation that changes nothing on one consistent snapshot; again where the connection broke."""
        pauses = _pauses(self._patience_s)
        while True:
            try:
                with self._reader() as connection:
                    return _look(connection, operation)
            except Trouble as trouble:
                pause = next(pauses, None) if trouble.again else None
                if pause is None:
                    raise trouble.error from None
                time.sleep(pause)

    @contextmanager
    def _reader(self) -> Iterator[psycopg.Connection[Row]]:
        with self._slots:
            with self._lock:
                if self._closed:
                    raise StoreUnavailable("the store was closed")
                connection = self._readers.pop() if self._readers else None
            if connection is None:
                connection = self._connect()
            try:
                yield connection
            finally:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                with self._lock:
                    if _usable(connection) and not self._closed:
                        self._readers.append(connection)
                    else:
                        connection.close()

    def close(self) -> None:
        """Finish what was submitted and let go of the database."""
        self._writer.close()
        with self._lock:
            self._closed = True
            readers, self._readers = self._readers, []
        for connection in readers:
            connection.close()
        self._session.discard()


class _PostgresTx(SessionTx):
    """A transaction on one connection."""

    def __init__(self, connection: psycopg.Connection[Row], now_ms: int) -> None:
        super().__init__(now_ms)
        self._cursor = psycopg.RawCursor(connection)
        self._changes = 0

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        cursor = self._cursor
        try:
            cursor.execute(numbered(sql), parameters, binary=True)
            if cursor.description is not None:
                rows = cursor.fetchall()
                if not (cursor.statusmessage or "").startswith("SELECT"):
                    self._changes += cursor.rowcount
                return rows
        except psycopg.Error as problem:
            self.failed = _translated(problem)
            raise self.failed from problem
        self._changes += max(cursor.rowcount, 0)
        return []

    def changes(self) -> int:
        return self._changes


class _Session:
    """The one connection that writes, and what it takes to have one."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Row]], patience_s: float) -> None:
        self._connect = connect
        self._patience_s = patience_s
        self._connection: psycopg.Connection[Row] | None = None
        self._writer = secrets.token_hex(12)
        self._batch = 0
        self._down = False  # callers have been told already: no more waiting until it is back

    def begin(self) -> SessionTx:
        """Begin a batch under the lock; wait for a database that is gone as long as callers are patient."""
        pauses = _pauses(0.0 if self._down else self._patience_s)
        while True:
            try:
                tx = self._begin_once()
            except Trouble as trouble:
                self.discard()
                pause = next(pauses, None) if trouble.again else None
                if pause is None:
                    self._down = True
                    raise Trouble(trouble.error) from None
                time.sleep(pause)
            else:
                self._down = False
                return tx

    def _begin_once(self) -> SessionTx:
        self._connection = self._connection or self._connect()
        try:
            cursor = self._connection.execute(_BEGIN)
            cursor.nextset()
            cursor.nextset()
            row = cursor.fetchone()
        except psycopg.Error as problem:
            raise _as_trouble(problem) from problem
        return _PostgresTx(self._connection, row[0] if row else 0)

    def commit(self, tx: SessionTx) -> None:
        """Commit; where the outcome did not arrive, find it out."""
        if not tx.changes():
            self.rollback()
            return
        self._batch += 1
        note = (
            f"INSERT INTO batches (writer, number, time_ms) VALUES ('{self._writer}', {self._batch}, {tx.now_ms})"  # noqa: S608
            " ON CONFLICT (writer) DO UPDATE SET number = excluded.number, time_ms = excluded.time_ms; COMMIT"
        )
        try:
            cursor = self._live().execute(note)
            while cursor.nextset():
                pass
        except psycopg.Error as problem:
            trouble = _as_trouble(problem)
            if not trouble.again:  # the server answered: it did not commit
                self.discard()
                raise trouble from problem
            self.discard()
            if not self._was_committed():
                raise Trouble(trouble.error, again=True) from problem

    def _was_committed(self) -> bool:
        """Look for the last batch's number. Raises Trouble if that cannot be found out."""
        try:
            tx = self.begin()
            rows = tx.execute("SELECT number FROM batches WHERE writer = ?", (self._writer,))
        except Trouble as trouble:
            sentence = f"{trouble.error.sentence}; it is not known whether the last changes were made"
            raise Trouble(StoreUnavailable(sentence)) from None
        self.rollback()
        return bool(rows) and rows[0][0] == self._batch

    def rollback(self) -> None:
        try:
            self._live().execute("ROLLBACK")
        except psycopg.Error:
            self.discard()

    def discard(self) -> None:
        """Close the connection; what it had begun is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def begin_with_tables(self) -> None:
        """Bring the tables up to date, unless another broker is quicker."""
        tx = self.begin()
        for setting in ("fsync", "full_page_writes"):
            if tx.execute("SELECT current_setting(?)", (setting,)) != [("on",)]:
                raise StoreNotDurable(f"the database server runs with {setting} = off")
        migrate(tx, integer=INTEGER, blob=BLOB, text=TEXT)
        try:
            self._live().execute("COMMIT")
        except psycopg.Error as problem:
            raise _as_trouble(problem) from problem

    def _live(self) -> psycopg.Connection[Row]:
        if self._connection is None:
            raise psycopg.OperationalError("the connection was closed")
        return self._connection


@functools.lru_cache(maxsize=1024)
def numbered(sql: str) -> bytes:
    """Return a statement with `$1`, `$2`, … for its `?`; those inside quotes stay."""
    parts = sql.split("'")
    count = 0
    for index in range(0, len(parts), 2):
        pieces = parts[index].split("?")
        parts[index] = pieces[0] + "".join(f"${count + place}{piece}" for place, piece in enumerate(pieces[1:], 1))
        count += len(pieces) - 1
    return "'".join(parts).encode()


def _connect(words: dict[str, str], name: str) -> psycopg.Connection[Row]:
    try:
        connection = psycopg.connect(make_conninfo("", **{**_CONNECTING, **words}), autocommit=True)
    except psycopg.Error as problem:
        raise Trouble(StoreUnavailable(f"{name}: {_sentence(problem)}"), again=True) from None
    connection.adapters.register_dumper(bool, _BoolAsNumber)
    connection.adapters.register_loader("numeric", _NumberAsInt)
    try:
        connection.execute(_SESSION)
    except psycopg.Error as problem:
        connection.close()
        raise _as_trouble(problem) from problem
    return connection


def _look(connection: psycopg.Connection[Row], operation: Callable[[Tx], T]) -> T:
    try:
        cursor = connection.execute(_SNAPSHOT)
        cursor.nextset()
        row = cursor.fetchone()
    except psycopg.Error as problem:
        raise _as_trouble(problem) from problem
    return operation(_PostgresTx(connection, row[0] if row else 0))


def _usable(connection: psycopg.Connection[Row]) -> bool:
    return not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE


def _pauses(patience_s: float) -> Iterator[float]:
    """Yield ever longer pauses until patience ends."""
    end, pause = time.monotonic() + patience_s, FIRST_PAUSE_S
    while time.monotonic() < end:
        yield pause
        pause = min(pause * 2, MAX_PAUSE_S)


def _translated(problem: psycopg.Error) -> Exception:
    """Return what the database's error means: trouble of the store, a conflict, or the caller's bug as it is."""
    if isinstance(problem, psycopg.IntegrityError):
        return StoreConflict(problem.diag.message_primary or "the database refused the row")
    if isinstance(problem, pg.QueryCanceled):  # of all that wait, the one slow operation
        return StoreUnavailable(f"the database: {_sentence(problem)}")
    if isinstance(problem, psycopg.OperationalError | psycopg.InternalError | psycopg.InterfaceError):
        return _as_trouble(problem)
    return problem


def _as_trouble(problem: psycopg.Error) -> Trouble:
    """A full disk is told at once; a server that is gone, stopping or recovering is worth waiting for."""
    full = isinstance(problem, pg.DiskFull | pg.OutOfMemory | pg.ReadOnlySqlTransaction | pg.IoError)
    return Trouble(StoreUnavailable(f"the database: {_sentence(problem)}"), again=not full)


def _sentence(problem: psycopg.Error) -> str:
    return " ".join((problem.diag.message_primary or str(problem) or type(problem).__name__).split())[:300]
