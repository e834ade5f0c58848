"""A ledger in an SQLite store of its own, and the means to tamper with it like somebody who can write to the file."""

import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.rollback import head_file_beside
from strongroom.broker.store.sqlite import SqliteStore


@dataclass
class Book:
    """One broker's ledger; time passes only when a test says so."""

    path: Path
    signer: Ed25519PrivateKey
    now: datetime = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    head_file: bool = True
    opened: list = field(default_factory=list)

    def open(self):
        self.store = SqliteStore(self.path, clock=lambda: self.now)
        self.opened.append(self.store)
        self.ledger = Ledger(self.store, self.signer, head_file=head_file_beside(self.path) if self.head_file else None)
        return self.ledger

    def close(self):
        for store in self.opened:
            store.close()
        self.opened.clear()

    def again(self):
        self.close()
        return self.open()

    def pass_time(self, seconds):
        self.now += timedelta(seconds=seconds)

    def write(self, *records):
        return self.store.write(lambda tx: [self.ledger.append(tx, record) for record in records])

    def decide(self, count=1, **fields):
        for number in range(count):
            self.pass_time(1)
            self.write({"kind": "decision", "id": f"case{number}", "decision": "granted", **fields})

    def fill(self, count):
        """Write many lines at once."""
        self.write(*({"kind": "decision", "id": f"case{number}"} for number in range(count)))

    def tamper(self, *statements):
        """Change the database behind the broker's back; the broker is not running meanwhile."""
        self.close()
        connection = sqlite3.connect(self.path)
        for sql, *parameters in statements:
            connection.execute(sql, parameters)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def look(self):
        """Open the store alone, as an auditor does."""
        store = SqliteStore(self.path, clock=lambda: self.now)
        self.opened.append(store)
        return store

    def rows(self, sql):
        connection = sqlite3.connect(self.path)
        found = connection.execute(sql).fetchall()
        connection.close()
        return found


@pytest.fixture
def book_in():
    """Make a ledger in a folder, under a key."""
    books = []

    def make(folder, **options):
        options.setdefault("signer", Ed25519PrivateKey.generate())
        books.append(Book(folder / "broker.db", **options))
        books[-1].open()
        return books[-1]

    yield make
    for book in books:
        book.close()


@pytest.fixture
def book(book_in, tmp_path):
    return book_in(tmp_path)
