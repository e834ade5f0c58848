"""Bring a database's tables up to date: numbered steps, each run once, whichever broker comes first. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.broker.store import Tx, as_bytes, schema
from strongroom.broker.store.errors import StoreDamaged, StoreMoved, StoreTooNew

SCHEMA: Final = "schema"
MOVED_TO: Final = "moved_to"


def migrate(tx: Tx, *, integer: str, blob: str, text: str) -> int:
    """Run the steps that the database has not seen and return the number of the last one.

    The caller's transaction keeps other writers out. Raises StoreTooNew, StoreMoved or StoreDamaged.
    """

    def run(migration: str) -> None:
        for statement in schema.statements(migration, integer=integer, blob=blob):
            tx.execute(statement.replace(" TEXT", f" {text}"))

    run(schema.META)
    done = number(tx)
    if done > len(schema.MIGRATIONS):
        raise StoreTooNew(f"the database has tables of version {done}, this Strongroom knows {len(schema.MIGRATIONS)}")
    check_not_moved(tx)
    for count, migration in enumerate(schema.MIGRATIONS[done:], start=done + 1):
        run(migration)
        put(tx, SCHEMA, str(count))
    return len(schema.MIGRATIONS)


def number(tx: Tx) -> int:
    """Return how many steps the database has seen."""
    text = get(tx, SCHEMA) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise StoreDamaged(f"the number of the tables' version is {text[:16]!r}")
    return int(text)


def check_not_moved(tx: Tx) -> None:
    """Raise StoreMoved if the content went to another database."""
    target = get(tx, MOVED_TO)
    if target is not None:
        raise StoreMoved(f"this store was moved to: {target}")


def get(tx: Tx, name: str) -> str | None:
    """Return a line of the table `meta`."""
    rows = tx.execute("SELECT value FROM meta WHERE name = ?", (name,))
    return as_bytes(rows[0][0]).decode("utf-8", "replace") if rows else None


def put(tx: Tx, name: str, value: str) -> None:
    """Set a line of the table `meta`."""
    tx.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value.encode()),
    )
