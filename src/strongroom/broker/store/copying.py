"""Read every row of a store in one order on both databases: to copy them, to count them, to hash them.

Pure but for the tables' shape, which an empty database in memory is asked for. Rows come in pages by primary key, so
that neither side holds a large ledger in memory.
"""

from __future__ import annotations

import functools
import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from strongroom.broker.store import Row, Tx, as_bytes, migrating, schema

PAGE_ROWS: Final = 500
IN_FLIGHT: Final = frozenset(
    ("batches", "brokers", "logins", "rates", "sessions")
)  # a restored nonce could be used again
_NOT_OURS: Final = (
    f"name NOT IN ('{migrating.SCHEMA}', '{migrating.MOVED_TO}')"  # what `meta` says of this database only
)
Progress = Callable[[int, int], None]  # rows done, rows in all


@dataclass(frozen=True, slots=True)
class Table:
    """A table's columns, those of its primary key, which rows are content, and the places of columns of bytes."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    only: str = "1 = 1"
    blobs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """What a store holds: rows of each table, SHA-256 over all of them, and where the ledger ends."""

    rows: Mapping[str, int]
    sha256: str
    head_seq: int  # -1: no ledger yet
    head_digest: str

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


@functools.cache
def tables(version: int = len(schema.MIGRATIONS)) -> tuple[Table, ...]:
    """Return the tables of a version of the schema, by name."""
    with closing(empty_database(version)) as database:
        found = []
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
            columns = database.execute(f"PRAGMA table_info({name})").fetchall()
            key = sorted((place, column) for _, column, _, _, _, place in columns if place)
            blobs = tuple(place for place, each in enumerate(columns) if each[2] == "BLOB")
            names = tuple(each[1] for each in columns)
            found.append(Table(name, names, tuple(column for _, column in key), blobs=blobs))
    return tuple(replace(table, only=_NOT_OURS) if table.name == "meta" else table for table in found)


def empty_database(version: int) -> sqlite3.Connection:
    """Return a database in memory that has the tables of a version of the schema and nothing in them."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    for migration in (schema.META, *schema.MIGRATIONS[:version]):
        for statement in schema.statements(migration, integer="INTEGER", blob="BLOB"):
            database.execute(statement)
    return database


@functools.cache
def shape(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the statements that make these tables and their indexes, in SQLite's words."""
    marks = ", ".join("?" * len(names))
    with closing(empty_database(len(schema.MIGRATIONS))) as database:
        rows = database.execute(
            f"SELECT sql FROM sqlite_master WHERE tbl_name IN ({marks}) AND sql IS NOT NULL ORDER BY type DESC, name",  # noqa: S608
            names,
        ).fetchall()
    return tuple(text for (text,) in rows)


def lasting(version: int = len(schema.MIGRATIONS)) -> tuple[Table, ...]:
    """Return the tables that a backup holds: not what is in flight between a broker and its peers."""
    return tuple(table for table in tables(version) if table.name not in IN_FLIGHT)


def count(tx: Tx, wanted: Sequence[Table]) -> dict[str, int]:
    """Return how many rows each table has."""
    return {table.name: tx.execute(f"SELECT count(*) FROM {table.name} WHERE {table.only}")[0][0] for table in wanted}  # noqa: S608


def pages(tx: Tx, table: Table) -> Iterator[list[Row]]:
    """Yield the rows of a table, a page at a time, by primary key and so in the same order everywhere."""
    key, marks = ", ".join(table.key), ", ".join("?" * len(table.key))
    places = [table.columns.index(column) for column in table.key]
    what = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {table.only}"  # noqa: S608  # names of our own schema
    order = f" ORDER BY {key} LIMIT {PAGE_ROWS}"
    page = tx.execute(what + order)
    while page:
        yield [_typed(row, table.blobs) for row in page] if table.blobs else page
        last = tuple(page[-1][place] for place in places)
        page = tx.execute(f"{what} AND ({key}) > ({marks}){order}", last) if len(page) == PAGE_ROWS else []


def _typed(row: Row, blobs: Sequence[int]) -> Row:
    """Return a row with bytes where bytes belong: a column's default may stand in SQLite as an empty text."""
    return tuple(as_bytes(value) if place in blobs and value is not None else value for place, value in enumerate(row))


def read(tx: Tx, wanted: Sequence[Table], *, progress: Progress | None = None, into: Tx | None = None) -> Content:
    """Hash every row of `wanted`, and write it into another store on the way if there is one."""
    counted = count(tx, wanted)
    total, done, digest, rows = sum(counted.values()), 0, hashlib.sha256(), {}
    for table in wanted:
        digest.update(f"table {table.name} {' '.join(table.columns)}\n".encode())
        rows[table.name] = 0
        for page in pages(tx, table):
            for row in page:
                digest.update(_canonical(row))
            if into is not None:
                _insert(into, table, page)
            rows[table.name] += len(page)
            done += len(page)
            if progress is not None:
                progress(done, total)
    head = tx.execute("SELECT seq, digest FROM ledger_head WHERE id = 1")
    return Content(rows, digest.hexdigest(), *(head[0] if head else (-1, "")))


def _insert(into: Tx, table: Table, page: Sequence[Row]) -> None:
    one = f"({', '.join('?' * len(table.columns))})"
    at_once = max(1, 900 // len(table.columns))  # well below the least number of placeholders of any SQLite
    for start in range(0, len(page), at_once):
        part = page[start : start + at_once]
        into.execute(
            f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES {', '.join([one] * len(part))}",  # noqa: S608
            [value for row in part for value in row],
        )


def _canonical(row: Row) -> bytes:
    """Return the row as bytes that no other row has."""
    parts = []
    for value in row:
        raw = value if isinstance(value, bytes) else str(value).encode()
        parts.append(f"{type(value).__name__} {len(raw)} ".encode() + raw)
    return b"".join(parts) + b"\n"
