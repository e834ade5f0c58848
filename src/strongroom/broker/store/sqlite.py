"""The store in one SQLite file: write-ahead log, every commit synced, several processes of one machine.

World: the file and its companions (-wal, -shm) in a folder that nobody else may write to. Closing any descriptor of a
database file gives back the locks that SQLite holds on it, so this module opens the file by SQLite alone.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from strongroom.broker.store import Row, Tx, Value, schema, transactions
from strongroom.broker.store.errors import (
    StoreAddress,
    StoreConflict,
    StoreDamaged,
    StoreUnavailable,
)
from strongroom.broker.store.group import GroupWriter
from strongroom.broker.store.migrating import migrate
from strongroom.broker.store.transactions import SessionTx, Trouble
from strongroom.pki.disk import OTHERS, SECRET_MODE, AlreadyThere, LoosePermissions, move_new

APPLICATION_ID: Final = 0x5374526D  # "StRm": what `file` and SQLite know the file by
BUSY_TIMEOUT_MS: Final = 5000
MAX_IDLE_READERS: Final = 8
WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
INTEGER, BLOB, TEXT = "INTEGER", "BLOB", "TEXT"
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
_DAMAGED: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_OURS: Final = frozenset(re.findall(r"CREATE TABLE (\w+)", " ".join(schema.MIGRATIONS)))
_LOST: Final = "no such table: "
_UNAVAILABLE: Final = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    )
)
T = TypeVar("T")


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


class SqliteStore:
    """A Store in the file `path`, which is made if it is not there.

    Raises StoreAddress, LoosePermissions, StoreDamaged, StoreTooNew, StoreMoved or StoreUnavailable.
    """

    shared = False

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self.description = f"SQLite file {path}"
        self._clock = clock
        self._session = _Session(path, clock)
        self._readers: list[sqlite3.Connection] = []
        self._closed = False
        self._lock = threading.Lock()
        _make_if_absent(path)
        check_files(path)
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
        """Run an operation that changes nothing on one consistent snapshot."""
        with self._reader() as connection:
            tx = _SqliteTx(connection, _milliseconds(self._clock()))
            try:
                connection.execute("BEGIN")
                try:
                    return operation(tx)
                finally:
                    connection.rollback()
            except Trouble as trouble:
                raise trouble.error from None
            except sqlite3.Error as problem:
                raise _unwrapped(_translated(problem, self.path)) from problem

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the store was closed")
            connection = self._readers.pop() if self._readers else None
        if connection is None:
            try:
                connection = _connect(self.path)
                connection.execute("PRAGMA query_only = ON")
            except sqlite3.Error as problem:
                raise _unwrapped(_translated(problem, self.path)) from problem
        try:
            yield connection
        except StoreUnavailable:
            connection.close()
            raise
        except BaseException:
            self._put_back(connection)
            raise
        self._put_back(connection)

    def _put_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._readers) < MAX_IDLE_READERS:
                self._readers.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Finish what was submitted and close the file."""
        self._writer.close()
        with self._lock:
            self._closed = True
            readers, self._readers = self._readers, []
        for connection in readers:
            connection.close()
        self._session.discard()


class _SqliteTx(SessionTx):
    """A transaction of the one writing connection, or a snapshot of a reading one."""

    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        super().__init__(now_ms)
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as problem:
            self.failed = _translated(problem, None)
            raise self.failed from problem

    def changes(self) -> int:
        return self._connection.total_changes


class _Session:
    """The one connection that writes; made anew after the file system failed it."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock
        self._connection: sqlite3.Connection | None = None

    def begin(self) -> SessionTx:
        try:
            if self._connection is None:
                self._connection = _connect(self._path)
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as problem:
            raise self._trouble(problem) from problem
        return _SqliteTx(self._connection, _milliseconds(self._clock()))

    def commit(self, tx: SessionTx) -> None:  # noqa: ARG002  # a session has one transaction at a time
        try:
            self._live().execute("COMMIT")
        except sqlite3.Error as problem:
            raise self._trouble(problem) from problem

    def rollback(self) -> None:
        try:
            self._live().rollback()
        except sqlite3.Error:
            self.discard()

    def discard(self) -> None:
        """Close the connection; what it had begun is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.rollback()
            connection.close()

    def begin_with_tables(self) -> None:
        """Check whose file it is and bring its tables up to date."""
        try:
            self._connection = _connect(self._path)
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (mode,) = self._connection.execute("PRAGMA journal_mode").fetchone()
        except sqlite3.Error as problem:
            raise self._trouble(problem) from problem
        if application != APPLICATION_ID or mode != "wal":
            raise StoreDamaged(f"{self._path} is an SQLite file, but not a store of Strongroom")
        tx = self.begin()
        migrate(tx, integer=INTEGER, blob=BLOB, text=TEXT)
        self.commit(tx)

    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the connection was closed")
        return self._connection

    def _trouble(self, problem: sqlite3.Error) -> Trouble:
        found = _translated(problem, self._path)
        self.discard()
        if isinstance(found, Trouble):
            return found
        return Trouble(StoreUnavailable(f"{self._path}: {problem}"))


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database for any thread; autocommit, so that every transaction is begun by name."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1000, cached_statements=256,
    )  # fmt: skip
    try:
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF", "secure_delete = ON",
                       "cell_size_check = ON", f"journal_size_limit = {WAL_LIMIT_BYTES}"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _make_if_absent(path: Path) -> None:
    """Make the file beside its place and move it there whole, so that several processes may start at once."""
    if os.path.lexists(path):
        return
    if not path.parent.is_dir():
        raise StoreAddress(f"{path.parent} is no folder")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, SECRET_MODE))
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE made (id INTEGER)")
            connection.execute("DROP TABLE made")
        finally:
            connection.close()
        with suppress(AlreadyThere):
            move_new(draft, path)
    except (sqlite3.Error, OSError) as problem:
        raise StoreUnavailable(f"{path} cannot be made: {problem}") from problem
    finally:
        for name in (draft, *(draft.with_name(draft.name + suffix) for suffix in _COMPANIONS)):
            name.unlink(missing_ok=True)


def check_files(path: Path) -> None:
    """Raise LoosePermissions or StoreAddress unless the store's files are its owner's alone, and files."""
    folder = path.parent.stat()
    if folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LoosePermissions(
            f"others may write to {path.parent}, where the broker's database lies",
            fix=f"Run: chmod 0700 '{path.parent}'",
        )
    for each in (path, *(path.with_name(path.name + suffix) for suffix in _COMPANIONS)):
        try:
            found = each.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            raise StoreAddress(f"{each} is not a regular file")
        if found.st_mode & OTHERS:
            raise LoosePermissions(
                f"{each} has the mode {stat.S_IMODE(found.st_mode):04o}; other users of this machine can reach it",
                fix=f"Run: chmod 0600 '{each}'",
            )


def _translated(problem: sqlite3.Error, path: Path | None) -> Exception:
    """Return what the database's error means: trouble of the store, a conflict, or the caller's bug as it is."""
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    where = f"{path}: " if path else ""
    if code in _DAMAGED:
        return Trouble(StoreDamaged(f"{where}{problem}"))
    if code in _UNAVAILABLE:
        return Trouble(StoreUnavailable(f"{where}{problem}"))
    if isinstance(problem, sqlite3.IntegrityError):
        return StoreConflict(str(problem))
    if str(problem).startswith(_LOST) and str(problem).removeprefix(_LOST) in _OURS:
        return Trouble(StoreDamaged(f"{where}{problem}: somebody changed the store's tables"))
    return problem


def _unwrapped(problem: Exception) -> Exception:
    return problem.error if isinstance(problem, Trouble) else problem


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
