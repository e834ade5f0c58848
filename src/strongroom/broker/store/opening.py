"""Open the broker's store by what the settings call it: a file, or the address of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.broker.store import Store
from strongroom.broker.store.errors import StoreAddress, StoreExtraMissing
from strongroom.broker.store.sqlite import SqliteStore, utc_now

POSTGRESQL: Final = ("postgresql://", "postgres://")


def open_store(location: str | Path, *, clock: Callable[[], datetime] = utc_now) -> Store:
    """Return the store at `location`, its tables up to date. `clock` is not asked where the database has one.

    Raises what SqliteStore and PostgresStore raise, and StoreAddress or StoreExtraMissing.
    """
    text = str(location)
    if isinstance(location, str) and text.startswith(POSTGRESQL):
        try:
            from strongroom.broker.store.postgresql import PostgresStore
        except ImportError as problem:
            raise StoreExtraMissing(f"PostgreSQL needs psycopg: {problem}") from None
        return PostgresStore(text)
    if not text or "\0" in text or "://" in text:
        raise StoreAddress(f"{text.partition('://')[0][:32]!r} is no kind of store")
    return SqliteStore(Path(location), clock=clock)
