"""The broker's one place of state: SQLite by default, PostgreSQL where several brokers share it.

Law of this room: what `write` returned is on the disk; what it raised left nothing behind. SQL is written once, in the
subset that both databases read alike; times are milliseconds since 1970, in UTC, by the store's own clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

Value = str | int | bytes | None
Row = tuple[Any, ...]
T = TypeVar("T")


def as_bytes(value: object) -> bytes:
    """Return a column's bytes, whatever type somebody gave it in the database: a hash then finds what does not fit."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode("utf-8", "replace")


class Tx(Protocol):
    """One transaction. An operation only talks to the world through it, for it may be run again."""

    now_ms: int  # the time of this transaction, one clock for all brokers of a store: milliseconds since 1970, UTC
    memo: dict[str, Any]  # what operations of this one transaction remember for each other; gone afterwards

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one statement with `?` placeholders; return its rows (none for a statement that gives none)."""

    def before_commit(self, name: str, action: Callable[[], None]) -> None:
        """Run `action` once, after the last operation of this transaction; a second one of the same name is ignored."""


class Store(Protocol):
    """Threads may share it. Every method raises StoreUnavailable while the database cannot be reached or written."""

    shared: bool  # whether other brokers may be writing at the same time
    description: str  # for people; holds no password

    def write(self, operation: Callable[[Tx], T]) -> T:
        """Run `operation` in a transaction and return its result once that is durable.

        Operations of several threads share one transaction and one sync (group commit). An operation that raises a
        StrongroomError has to do so before its first change; any other exception undoes it alone.
        """

    def submit(self, operation: Callable[[Tx], T]) -> Future[T]:
        """Do the same without waiting; the future is done once the result is durable."""

    def read(self, operation: Callable[[Tx], T]) -> T:
        """Run an operation that changes nothing on one consistent snapshot."""

    def close(self) -> None:
        """Finish what was submitted and let go of the database."""
