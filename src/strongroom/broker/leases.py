"""Leases: who holds which secret, and until when. A lease is live until its time is over, by the store's clock.

Repository over one transaction. A release grants a lease or renews one, and a rule's `max_leases` counts the live ones;
whoever stops asking is forgotten when the lease is over, and a revocation ends the leases that it touches at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from strongroom.broker.store import Tx

LIVE: Final = "live"
ENDED: Final = "ended"
KEEP_MS: Final = 30 * 24 * 3600 * 1000  # how long a lease that is over is still shown
_ID_BYTES: Final = 16
_MODEL_PREFIX: Final = "model/"

Mark = tuple[str, str]  # what a revocation may name: its kind and value, such as ("fmspc", "00906ED50000")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """Who is to hold a secret, as the evidence and the rule say it. `rule` is part of what a limit counts."""

    tenant: str
    secret: str
    rule: str
    holder: str  # SHA-256 of the key (SubjectPublicKeyInfo) that the secret goes to, hex
    protocol: str
    peer: str
    measurement: str  # MRENCLAVE or MRTD, hex; empty where the evidence says none
    platform: str  # the ledger's keyed hash
    tcb_status: str
    broker: str = ""
    marks: tuple[Mark, ...] = ()  # all that a revocation may find it by


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One lease as the store holds it; times are milliseconds since 1970, by the store's clock."""

    id: str
    tenant: str
    secret: str
    rule: str
    holder: str
    protocol: str
    peer: str
    measurement: str
    platform: str
    tcb_status: str
    broker: str
    state: str
    granted_ms: int
    renewed_ms: int
    expires_ms: int
    renewals: int


_FIELDS: Final = tuple(field.name for field in fields(Lease))
_COLUMNS: Final = ", ".join(_FIELDS)


def grant(tx: Tx, asked: LeaseRequest, *, seconds: int, limit: int | None = None, until_ms: int | None = None,
          ) -> Lease | None:  # fmt: skip
    """Begin a lease of at most `seconds`, which no later than `until_ms` is over; None where `limit` ones are live."""
    if limit is not None and count(tx, asked.tenant, asked.rule, asked.secret) >= limit:
        return None
    ends = _end(tx, seconds, until_ms)
    lease = Lease(
        id=secrets.token_hex(_ID_BYTES), tenant=asked.tenant, secret=asked.secret, rule=asked.rule,
        holder=asked.holder, protocol=asked.protocol, peer=asked.peer, measurement=asked.measurement,
        platform=asked.platform, tcb_status=asked.tcb_status, broker=asked.broker, state=LIVE, granted_ms=tx.now_ms,
        renewed_ms=tx.now_ms, expires_ms=ends, renewals=0,
    )  # fmt: skip
    values = [getattr(lease, name) for name in _FIELDS]
    tx.execute(
        f"INSERT INTO leases ({_COLUMNS}, marks) VALUES ({', '.join('?' * (len(values) + 1))})",  # noqa: S608  # names
        [*values, spelled(asked.marks)],
    )
    return lease


def renew(tx: Tx, lease_id: str, asked: LeaseRequest, *, seconds: int, until_ms: int | None = None) -> Lease | None:
    """Extend a live lease by fresh evidence; None where it is over, or was granted to somebody or something else.

    The key may be another one, since each proof may bring its own; tenant, secret, rule, measurement and platform have
    to be those of the grant.
    """
    lease = find(tx, lease_id)
    if lease is None or lease.expires_ms <= tx.now_ms or _held(lease) != _held(asked) or not asked.measurement:
        return None
    tx.execute(
        "UPDATE leases SET holder = ?, peer = ?, tcb_status = ?, broker = ?, renewed_ms = ?, expires_ms = ?,"
        " renewals = renewals + 1, marks = ? WHERE id = ?",
        (asked.holder, asked.peer, asked.tcb_status, asked.broker, tx.now_ms, _end(tx, seconds, until_ms),
         spelled(asked.marks), lease_id),
    )  # fmt: skip
    return find(tx, lease_id)


def held(tx: Tx, asked: LeaseRequest) -> str | None:
    """Return the id of the live lease that this very key holds already; None if there is none.

    A client that asks again, since an answer was lost or a program forgot what it had, is not a second replica.
    """
    rows = tx.execute(
        "SELECT id FROM leases WHERE tenant = ? AND rule = ? AND secret = ? AND holder = ? AND measurement = ?"
        " AND platform = ? AND expires_ms > ? ORDER BY id LIMIT 1",
        (asked.tenant, asked.rule, asked.secret, asked.holder, asked.measurement, asked.platform, tx.now_ms),
    )
    return rows[0][0] if rows and asked.holder else None


def find(tx: Tx, lease_id: str) -> Lease | None:
    """Return one lease, live or over; None if there is none of this id."""
    rows = tx.execute(f"SELECT {_COLUMNS} FROM leases WHERE id = ?", (lease_id,))  # noqa: S608  # names of columns
    return _lease(rows[0]) if rows else None


def live(tx: Tx, tenant: str | None = None) -> tuple[Lease, ...]:
    """Return the live leases, of one tenant or of all, those that end first in front."""
    whose, value = ("", ()) if tenant is None else (" AND tenant = ?", (tenant,))
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM leases WHERE expires_ms > ?{whose} ORDER BY expires_ms, id",  # noqa: S608  # constants
        (tx.now_ms, *value),
    )
    return tuple(_lease(row) for row in rows)


def count(tx: Tx, tenant: str, rule: str, secret: str) -> int:
    """Return how many live leases a rule has given for a secret."""
    rows = tx.execute(
        "SELECT count(*) FROM leases WHERE tenant = ? AND rule = ? AND secret = ? AND expires_ms > ?",
        (tenant, rule, secret, tx.now_ms),
    )
    return int(rows[0][0])


def counts(tx: Tx) -> dict[tuple[str, str], int]:
    """Return how many live leases there are of each tenant and secret."""
    rows = tx.execute(
        "SELECT tenant, secret, count(*) FROM leases WHERE expires_ms > ? GROUP BY tenant, secret", (tx.now_ms,)
    )
    return {(tenant, secret): int(number) for tenant, secret, number in rows}


def end(tx: Tx, lease_id: str, *, tenant: str | None = None) -> Lease | None:
    """End a live lease (of this tenant, where one is named) at once and return it; None if there is none."""
    lease = find(tx, lease_id)
    if lease is None or lease.expires_ms <= tx.now_ms or tenant not in (None, lease.tenant):
        return None
    _end_all(tx, [lease])
    return find(tx, lease_id)


def end_touched(tx: Tx, tenant: str | None, kind: str, value: str) -> tuple[Lease, ...]:
    """End the live leases, of one tenant or of all, that a revocation of this kind and value touches; return them."""
    condition, parameter = _touched(kind, value)
    whose, owner = ("", ()) if tenant is None else (" AND tenant = ?", (tenant,))
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM leases WHERE expires_ms > ? AND {condition}{whose} ORDER BY id",  # noqa: S608  # constants
        (tx.now_ms, *parameter, *owner),
    )
    found = tuple(_lease(row) for row in rows)
    _end_all(tx, found)
    return found


def forget(tx: Tx, *, keep_ms: int = KEEP_MS) -> None:
    """Remove the leases that have been over for so long; the ledger has them still."""
    tx.execute("DELETE FROM leases WHERE expires_ms < ?", (tx.now_ms - keep_ms,))


def spelled(marks: Iterable[Mark]) -> str:
    """Return marks as the store holds them: one text in which each can be found whole."""
    return "".join(f"|{kind}={value}|" for kind, value in marks)


def _touched(kind: str, value: str) -> tuple[str, tuple[str | int, ...]]:
    """Return the condition on a lease that a revocation touches. No LIKE: an underscore in a name is no wildcard."""
    if kind == "secret":
        return "secret = ?", (value,)
    if kind == "model":
        prefix = f"{_MODEL_PREFIX}{value}/"
        return "substr(secret, 1, ?) = ?", (len(prefix), prefix)
    mark = spelled([(kind, value)])
    return "length(replace(marks, ?, '')) < length(marks)", (mark,)


def _end_all(tx: Tx, found: Sequence[Lease]) -> None:
    for lease in found:
        tx.execute("UPDATE leases SET state = ?, expires_ms = ? WHERE id = ?", (ENDED, tx.now_ms, lease.id))


def _end(tx: Tx, seconds: int, until_ms: int | None) -> int:
    ends = tx.now_ms + 1000 * seconds
    return ends if until_ms is None else min(ends, until_ms)


def _held(each: Lease | LeaseRequest) -> tuple[str, ...]:
    return each.tenant, each.secret, each.rule, each.measurement, each.platform


def _lease(row: Sequence[Any]) -> Lease:
    return Lease(**dict(zip(_FIELDS, row, strict=True)))
