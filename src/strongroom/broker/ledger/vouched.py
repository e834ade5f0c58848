"""What a release rests on in the store, vouched for by the ledger's sealed end: tenants, policies, people, revocations.

Who may write to the database, or runs it, but has no root key, must not be able to admit a program, to appoint an
administrator or to lift a revocation. So the ledger's end, sealed under a key below the root, holds a digest of each
such table. Statements that read one are answered from a copy in memory whose digest is that of the end; statements
that change one go to both, and the digest of what the copy then holds is sealed in the same transaction. An old copy
of a table that is put back does not fit, and neither does an end older than one that was seen.

World: the store below, memory. Secrets are not among the tables (they are sealed themselves, one by one), nor are
leases: who deletes those by hand frees places under a limit, and the ledger still has every one of them.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from strongroom.broker.ledger import tables
from strongroom.broker.ledger.faults import LedgerRolledBack
from strongroom.broker.ledger.tables import END_MEMO, End, Seal
from strongroom.broker.store import Row, Store, Tx, Value, as_bytes, copying
from strongroom.errors import Tampered

TABLES: Final = ("admins", "model_floors", "policies", "revocations", "seen_numbers", "tenants")
EMPTY_AT_FIRST: Final = ("admins", "policies", "revocations")  # of a store whose ledger has not begun
_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_COPIES: Final = 4  # of different states: snapshots that were begun before a change may still be read
_ANSWERS: Final = 256  # that one copy remembers, each of a few rows
_ANSWER_ROWS: Final = 16
_MEMO: Final = "vouched"
_TABLE: Final = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN)\s+([a-z_]+)", re.ASCII | re.IGNORECASE)
_log = logging.getLogger("strongroom.broker")
T = TypeVar("T")


class RowsChanged(Tampered):
    """A table that releases rest on was changed in the database by somebody else than the broker."""

    code = "SR-STORE-ROWS"
    fix = "Find out who can write to the database, and restore a backup: nothing is released on what stands there."


class VouchedStore:
    """A store whose tables are what the ledger's end vouches for. Threads may share it.

    Its methods raise RowsChanged where a table is not, and HeadChanged or LedgerRolledBack where that end is not the
    broker's or is older than one seen before.
    """

    def __init__(self, store: Store, seal: Seal) -> None:
        """Check every table. What an earlier release wrote is taken as it is, which the log says."""
        self._store = store
        self._seal = seal
        self._copies = _Copies()
        self._newest = -1  # the last line of an end that was seen, as it was committed
        self.shared = store.shared
        self.description = store.description
        if not store.read(lambda tx: tables.sealed_end(tx, seal)).vouched:
            _log.warning("the tables of this store were not vouched for before: they are taken as they are")
            store.write(self._take)
        self.check()

    def check(self) -> None:
        """Compare every table in the database."""
        least = self._newest
        self._store.read(lambda tx: _check(tx, self._committed_end(tx, least).vouched))

    def write(self, operation: Callable[[Tx], T]) -> T:
        """Run `operation` in a transaction and return its result once that is durable."""
        watched = _Watched(self, operation)
        result = self._store.write(watched)
        self._saw(watched.end)
        return result

    def submit(self, operation: Callable[[Tx], T]) -> Future[T]:
        """Do the same without waiting."""
        watched = _Watched(self, operation)
        done = self._store.submit(watched)
        done.add_done_callback(lambda written: None if written.exception() else self._saw(watched.end))
        return done

    def read(self, operation: Callable[[Tx], T]) -> T:
        """Run an operation that changes nothing on one consistent snapshot."""
        return self._store.read(_Watched(self, operation))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _saw(self, end: End | None) -> None:
        """Remember a durable end: from now on none before it is believed."""
        if end is not None:
            self._newest = max(self._newest, end.head.seq)

    def _take(self, tx: Tx) -> None:
        end = tables.sealed_end(tx, self._seal)
        end.vouched = end.vouched or digests(tx)
        tables.write_end(tx, end, self._seal.over(end))

    # For transactions.

    def run(self, tx: Tx, least: int, sql: str, parameters: Sequence[Value], *, changes: bool) -> list[Row]:
        """Run a statement on the tables' copy; one that changes something on the database as well."""
        copy: _Copy | None = tx.memo.get(f"{_MEMO} copy")
        if copy is None:
            copy = tx.memo[f"{_MEMO} copy"] = self._copies.get(tx, self._end(tx, least).vouched)
        if not changes:
            return copy.execute(sql, parameters)
        tx.execute(sql, parameters)
        if f"{_MEMO} fork" not in tx.memo:
            copy = tx.memo[f"{_MEMO} copy"] = tx.memo[f"{_MEMO} fork"] = copy.fork()
            tx.before_commit(_MEMO, lambda: self._seal_anew(tx, least))
        return copy.change(sql, parameters)

    def _seal_anew(self, tx: Tx, least: int) -> None:
        """Vouch for what the tables hold after this transaction."""
        end, copy = self._end(tx, least), tx.memo[f"{_MEMO} fork"]
        end.vouched = copy.digests()
        tables.write_end(tx, end, self._seal.over(end))
        self._copies.keep(end.vouched, copy)

    def _end(self, tx: Tx, least: int) -> End:
        """Return the ledger's end as it stands in this transaction."""
        growing: End | None = tx.memo.get(END_MEMO)
        if growing is not None:
            return growing
        found: End | None = tx.memo.get(f"{_MEMO} end")
        if found is None:
            found = tx.memo[f"{_MEMO} end"] = self._committed_end(tx, least)
        return found

    def _committed_end(self, tx: Tx, least: int) -> End:
        end = tables.sealed_end(tx, self._seal)
        if end.head.seq < least:
            raise LedgerRolledBack(f"the ledger ends at line {end.head.seq}, and line {least} was seen before")
        self._saw(end)
        return end

    @property
    def newest(self) -> int:
        """The last line of the ledger that was seen."""
        return self._newest


class _Watched(Generic[T]):
    """An operation that may run again; `end`: where the ledger ended after it."""

    __slots__ = ("_least", "_operation", "_store", "end")

    def __init__(self, store: VouchedStore, operation: Callable[[Tx], T]) -> None:
        self._store = store
        self._operation = operation
        self._least = store.newest  # what is begun from now on sees this end, or a later one
        self.end: End | None = None

    def __call__(self, tx: Tx) -> T:
        result = self._operation(_WatchedTx(tx, self._store, self._least))
        self.end = tx.memo.get(END_MEMO)
        return result


class _WatchedTx:
    """A transaction whose statements are looked at on their way."""

    __slots__ = ("_least", "_store", "_tx", "memo", "now_ms")

    def __init__(self, tx: Tx, store: VouchedStore, least: int) -> None:
        self._tx = tx
        self._store = store
        self._least = least
        self.now_ms = tx.now_ms
        self.memo: dict[str, Any] = tx.memo

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one statement."""
        named, changes = touched(sql)
        if not named:
            return self._tx.execute(sql, parameters)
        return self._store.run(self._tx, self._least, sql, parameters, changes=changes)

    def before_commit(self, name: str, action: Callable[[], None]) -> None:
        """Run `action` once, after the last operation of this transaction."""
        self._tx.before_commit(name, action)


class _Copy:
    """The tables in a database in memory. Threads may share one that nobody changes any more.

    A question asked again gets its answer without the database: the rows have not changed meanwhile.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._answers: dict[tuple[Value, ...], tuple[Row, ...]] = {}

    def execute(self, sql: str, parameters: Sequence[Value]) -> list[Row]:
        """Run one statement that changes nothing."""
        question = (sql, *parameters)
        known = self._answers.get(question)
        if known is None:
            known = tuple(self._run(sql, parameters))
            if len(known) <= _ANSWER_ROWS:
                if len(self._answers) >= _ANSWERS:
                    self._answers.clear()
                self._answers[question] = known
        return list(known)

    def change(self, sql: str, parameters: Sequence[Value]) -> list[Row]:
        """Run one statement that changes something; nobody else has this copy yet."""
        self._answers.clear()
        return self._run(sql, parameters)

    def _run(self, sql: str, parameters: Sequence[Value]) -> list[Row]:
        with self._lock:
            return self._database.execute(sql, parameters).fetchall()

    def fork(self) -> _Copy:
        """Return another copy that holds the same."""
        other = _memory()
        with self._lock:
            self._database.backup(other)
        return _Copy(other)

    def digests(self) -> bytes:
        """Return what vouches for its content."""
        return b"".join(digest_of(self._run(_select(name), ())) for name in TABLES)


class _Copies:
    """The last few states of the tables, by what vouches for them."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, _Copy] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tx: Tx, vouched: bytes) -> _Copy:
        """Return the copy of a state; read from the database where it is not at hand. Raises RowsChanged."""
        with self._lock:
            found = self._held.get(vouched)
            if found is not None:
                self._held.move_to_end(vouched)
                return found
        found = _loaded(tx, vouched)
        self.keep(vouched, found)
        return found

    def keep(self, vouched: bytes, copy: _Copy) -> None:
        """Remember a copy instead of the one that was not used for longest."""
        with self._lock:
            self._held[vouched] = copy
            self._held.move_to_end(vouched)
            while len(self._held) > _COPIES:
                self._held.popitem(last=False)


def _check(tx: Tx, vouched: bytes) -> dict[str, list[Row]]:
    """Return the rows of every table. Raises RowsChanged unless they are those that are vouched for."""
    found = {}
    for place, name in enumerate(TABLES):
        found[name] = tx.execute(_select(name))
        if digest_of(found[name]) != vouched[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES]:
            raise RowsChanged(f"the table {name} is not what the broker wrote: somebody changed it")
    return found


def _loaded(tx: Tx, vouched: bytes) -> _Copy:
    database = _memory()
    for name, rows in _check(tx, vouched).items():
        if rows:
            database.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608  # a constant
    return _Copy(database)


def _memory() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    for statement in copying.shape(TABLES):
        database.execute(statement)
    return database


@functools.lru_cache(maxsize=1024)
def touched(sql: str) -> tuple[tuple[str, ...], bool]:
    """Return which of the tables a statement names, and whether it changes them."""
    named = {name.lower() for name in _TABLE.findall(sql)}
    return tuple(name for name in TABLES if name in named), sql.lstrip()[:6].upper() != "SELECT"


def first_digests(tx: Tx) -> bytes:
    """Return what the end of a new ledger vouches for. Raises RowsChanged if somebody was there before it."""
    for name in EMPTY_AT_FIRST:
        if tx.execute(f"SELECT 1 FROM {name} LIMIT 1"):  # noqa: S608  # a constant
            raise RowsChanged(f"the table {name} has rows, but the store has no ledger: somebody put them there")
    return digests(tx)


def digests(tx: Tx) -> bytes:
    """Return the digests of the tables as they are, one behind the other."""
    return b"".join(digest_of(tx.execute(_select(name))) for name in TABLES)


@functools.cache
def _select(name: str) -> str:
    [table] = [each for each in copying.tables() if each.name == name]
    return f"SELECT {', '.join(table.columns)} FROM {name} ORDER BY {', '.join(table.key)}"  # noqa: S608  # our own schema


def digest_of(rows: Sequence[Row]) -> bytes:
    """Return one digest for rows that no others have: each value has its type and its length before it."""
    found = hashlib.sha256()
    for row in rows:
        for value in row:
            raw = as_bytes(value)
            kind = "b" if isinstance(value, bytes | bytearray | memoryview) else type(value).__name__[0]
            found.update(f"{kind}{len(raw)} ".encode() + raw)
        found.update(b"\n")
    return found.digest()
