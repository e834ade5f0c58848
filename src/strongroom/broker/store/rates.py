"""Rates that all brokers of a store share, and the removal of what has run out. Pure.

A bucket is a line in time (the generic cell rate algorithm, ITU-T I.371): it says when what was spent will have come
back, so an empty bucket needs no row. What is still good, an unexpired nonce above all, is never removed to make room.
"""

from __future__ import annotations

from typing import Final

from strongroom.broker.store import Tx
from strongroom.errors import Unreachable

SWEEP_ROWS: Final = 500  # of each table, in one call: a sweep must not hold up releases
KEEP_SESSIONS_MS: Final = 600_000  # until then one that is over can be told from one that never was
KEEP_LEASES_MS: Final = 7 * 24 * 3600 * 1000  # an ended lease stays readable this long; the ledger keeps it for good
KEEP_BROKERS_MS: Final = 7 * 24 * 3600 * 1000
KEEP_BATCHES_MS: Final = 24 * 3600 * 1000  # far longer than a broker waits for its database
MAX_BUCKET_CHARS: Final = 200


class RateLimited(Unreachable):
    """More was asked in a short time than one caller may; nothing was looked at."""

    code = "SR-RATE-LIMITED"
    fix = "Wait as long as the answer says, and ask less often."

    def __init__(self, sentence: str, *, retry_after_s: int = 1, fix: str | None = None) -> None:
        super().__init__(sentence, fix=fix)
        self.retry_after_s = retry_after_s


def spend(tx: Tx, bucket: str, *, limit: int, per_ms: int, most: int = 1) -> int:
    """Take one, or up to `most`, of `limit` that come back evenly over `per_ms`; return how many were taken.

    All of them may be taken at once. Raises RateLimited before it changed anything.
    """
    bucket = bucket[:MAX_BUCKET_CHARS]
    now_us, per_us = tx.now_ms * 1000, per_ms * 1000
    each_us = max(1, -(-per_us // limit))
    rows = tx.execute("SELECT window_ms, spent FROM rates WHERE bucket = ?", (bucket,))
    empty_us = rows[0][0] * 1000 + rows[0][1] if rows else now_us
    if not now_us <= empty_us <= now_us + per_us:  # long ago, or by a clock that was ahead and must lock nobody out
        empty_us = now_us
    if empty_us + each_us > now_us + per_us:
        wait_s = -(-(empty_us + each_us - now_us - per_us) // 1_000_000)
        raise RateLimited(f"more than {limit} in {per_ms / 1000:g} s", retry_after_s=max(1, wait_s))
    taken = max(1, min(most, (now_us + per_us - empty_us) // each_us))
    until_ms, rest_us = divmod(empty_us + taken * each_us, 1000)
    tx.execute(
        "INSERT INTO rates (bucket, window_ms, spent) VALUES (?, ?, ?)"
        " ON CONFLICT (bucket) DO UPDATE SET window_ms = excluded.window_ms, spent = excluded.spent",
        (bucket, until_ms, rest_us),
    )
    return taken


def sweep(tx: Tx, *, rows: int = SWEEP_ROWS) -> int:
    """Remove what has run out, `rows` of each table at most; return how many were removed.

    A full return (`rows` or more) means that there may be more to remove.
    """
    removed = 0
    for table, key, column, keep_ms in (
        ("sessions", "id", "expires_ms", KEEP_SESSIONS_MS),
        ("logins", "token_hash", "expires_ms", 0),
        ("rates", "bucket", "window_ms", 0),
        ("leases", "id", "expires_ms", KEEP_LEASES_MS),
        ("brokers", "id", "seen_ms", KEEP_BROKERS_MS),
        ("batches", "writer", "time_ms", KEEP_BATCHES_MS),
    ):
        removed += len(
            tx.execute(
                f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {column} < ?"  # noqa: S608
                f" ORDER BY {column} LIMIT ?) RETURNING {key}",  # the names are the ones above
                (tx.now_ms - keep_ms, rows),
            )
        )
    return removed
