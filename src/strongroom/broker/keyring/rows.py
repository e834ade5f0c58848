"""The keyring's two tables: what is asked of them and what is written, nothing else. Pure: the store is the caller's.

`tenant_keys.state` is `active` or `replaced` (the wrapped key is gone then). `secrets.state` is `active`, `retired` or
`destroyed` (the wrapped secret is gone then); `until_ms` is when an active version ends by itself, 0 for never.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from strongroom.broker.store import Row, Tx, as_bytes

_KEY: Final = "tenant, generation, wrapped, root_id, created_ms"
_COLUMNS: Final = "tenant, name, version, kind, state, wrapped, generation, bytes, author, created_ms, until_ms"
_MEMO: Final = "secrets"  # the rows that a transaction has read


class SecretState(StrEnum):
    """What may be done with one version of a secret."""

    ACTIVE = "active"  # given out; an older version while it is carried
    RETIRED = "retired"  # kept, not given out
    DESTROYED = "destroyed"  # only its line is left


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One generation of a tenant's key, wrapped under a root key."""

    tenant: str
    generation: int
    wrapped: bytes = field(repr=False)
    root_id: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """What may be shown of one version of a secret: everything but its value."""

    tenant: str
    name: str
    version: int
    kind: str
    state: SecretState
    bytes: int
    author: str
    created_ms: int
    until_ms: int  # when a carried version ends; 0: it does not
    generation: int  # of the tenant's key that wraps it

    def state_at(self, now_ms: int) -> str:
        """Return the state as people read it: `carried` is an older version that still ends by itself."""
        if self.state is not SecretState.ACTIVE or not self.until_ms:
            return self.state.value
        return "carried" if self.until_ms > now_ms else SecretState.RETIRED.value


@dataclass(frozen=True, slots=True)
class SecretRow:
    """One version of a secret as it is stored."""

    info: SecretInfo
    wrapped: bytes = field(repr=False)


def active_key(tx: Tx, tenant: str) -> KeyRow | None:
    """Return the generation of the tenant's key that wraps what is new."""
    found = tx.execute(
        f"SELECT {_KEY} FROM tenant_keys WHERE tenant = ? AND state = 'active' ORDER BY generation DESC LIMIT 1",  # noqa: S608  # our own words
        (tenant,),
    )
    return _key(found[0]) if found else None


def key_of(tx: Tx, tenant: str, generation: int) -> KeyRow | None:
    """Return one generation of a tenant's key."""
    found = tx.execute(
        f"SELECT {_KEY} FROM tenant_keys WHERE tenant = ? AND generation = ? AND state = 'active'",  # noqa: S608
        (tenant, generation),
    )
    return _key(found[0]) if found else None


def live_keys(tx: Tx) -> list[KeyRow]:
    """Return all tenants' keys that are in use, in one order."""
    found = tx.execute(f"SELECT {_KEY} FROM tenant_keys WHERE state = 'active' ORDER BY tenant, generation")  # noqa: S608
    return [_key(row) for row in found]


def root_ids(tx: Tx) -> list[str]:
    """Return under which root keys the tenants' keys are; more than one is a defect."""
    return [
        row[0] for row in tx.execute("SELECT DISTINCT root_id FROM tenant_keys WHERE state = 'active' ORDER BY root_id")
    ]


def next_generation(tx: Tx, tenant: str) -> int:
    """Return the number of the tenant's next key; numbers are never used again."""
    found = tx.execute("SELECT MAX(generation) FROM tenant_keys WHERE tenant = ?", (tenant,))
    return int(found[0][0] or 0) + 1


def insert_key(tx: Tx, row: KeyRow, *, at_ms: int) -> None:
    """Add a generation of a tenant's key."""
    tx.execute(
        "INSERT INTO tenant_keys (tenant, generation, wrapped, root_id, state, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (row.tenant, row.generation, row.wrapped, row.root_id, "active", at_ms),
    )


def replace_keys(tx: Tx, tenant: str, *, below: int) -> None:
    """Forget the tenant's keys before the generation `below`."""
    tx.execute(
        "UPDATE tenant_keys SET state = 'replaced', wrapped = ? WHERE tenant = ? AND generation < ?",
        (b"", tenant, below),
    )


def rewrap_key(tx: Tx, row: KeyRow, wrapped: bytes, root_id: str) -> None:
    """Put another wrapping of the same key in place."""
    tx.execute(
        "UPDATE tenant_keys SET wrapped = ?, root_id = ? WHERE tenant = ? AND generation = ?",
        (wrapped, root_id, row.tenant, row.generation),
    )


def readable(tx: Tx, tenant: str, name: str, version: int | None = None) -> SecretRow | None:
    """Return the newest version that is given out, or the one named if it is.

    A transaction that asks again, as one of many admissions does, gets the same row: see `_changed`.
    """
    memo: dict[tuple[str, str, int | None], SecretRow | None] = tx.memo.setdefault(_MEMO, {})
    if (tenant, name, version) not in memo:
        only = "" if version is None else " AND version = ?"
        found = tx.execute(
            f"SELECT {_COLUMNS} FROM secrets WHERE tenant = ? AND name = ?{only} AND state = 'active'"  # noqa: S608
            " AND (until_ms = 0 OR until_ms > ?) ORDER BY version DESC LIMIT 1",
            (tenant, name, *(() if version is None else (version,)), tx.now_ms),
        )
        memo[tenant, name, version] = _secret(found[0]) if found else None
    return memo[tenant, name, version]


def versions(tx: Tx, tenant: str, name: str) -> list[SecretInfo]:
    """Return every version of one secret, oldest first."""
    found = tx.execute(
        f"SELECT {_COLUMNS} FROM secrets WHERE tenant = ? AND name = ? ORDER BY version",  # noqa: S608
        (tenant, name),
    )
    return [_secret(row).info for row in found]


def of_tenant(tx: Tx, tenant: str) -> list[SecretRow]:
    """Return every version of every secret of a tenant."""
    found = tx.execute(f"SELECT {_COLUMNS} FROM secrets WHERE tenant = ? ORDER BY name, version", (tenant,))  # noqa: S608
    return [_secret(row) for row in found]


def tenants(tx: Tx) -> list[str]:
    """Return the tenants that have a key."""
    return [row[0] for row in tx.execute("SELECT DISTINCT tenant FROM tenant_keys ORDER BY tenant")]


def insert_secret(tx: Tx, info: SecretInfo, wrapped: bytes) -> None:
    """Add a version of a secret."""
    _changed(tx)
    tx.execute(
        f"INSERT INTO secrets ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (info.tenant, info.name, info.version, info.kind, info.state.value, wrapped, info.generation, info.bytes,
         info.author, info.created_ms, info.until_ms),
    )  # fmt: skip


def carry(tx: Tx, tenant: str, name: str, until_ms: int) -> None:
    """Let the versions there end at `until_ms`, where they do not end earlier."""
    _changed(tx)
    tx.execute(
        "UPDATE secrets SET until_ms = ? WHERE tenant = ? AND name = ? AND state = 'active'"
        " AND (until_ms = 0 OR until_ms > ?)",
        (until_ms, tenant, name, until_ms),
    )


def rewrap_secret(tx: Tx, info: SecretInfo, wrapped: bytes, generation: int) -> None:
    """Put another wrapping of the same secret in place."""
    _changed(tx)
    tx.execute(
        "UPDATE secrets SET wrapped = ?, generation = ? WHERE tenant = ? AND name = ? AND version = ?",
        (wrapped, generation, info.tenant, info.name, info.version),
    )


def retire(tx: Tx, info: SecretInfo) -> None:
    """Give this version out no more."""
    _changed(tx)
    tx.execute(
        "UPDATE secrets SET state = 'retired' WHERE tenant = ? AND name = ? AND version = ? AND state = 'active'",
        (info.tenant, info.name, info.version),
    )


def destroy(tx: Tx, info: SecretInfo) -> None:
    """Forget the value of this version; its line stays."""
    _changed(tx)
    tx.execute(
        "UPDATE secrets SET state = 'destroyed', wrapped = ? WHERE tenant = ? AND name = ? AND version = ?",
        (b"", info.tenant, info.name, info.version),
    )


def _changed(tx: Tx) -> None:
    """Forget what this transaction has read of the secrets."""
    tx.memo.pop(_MEMO, None)


def _key(row: Row) -> KeyRow:
    return KeyRow(row[0], int(row[1]), as_bytes(row[2]), row[3], int(row[4]))


def _secret(row: Row) -> SecretRow:
    tenant, name, version, kind, state, wrapped, generation, size, author, created_ms, until_ms = row
    info = SecretInfo(
        tenant, name, int(version), kind, SecretState(state), int(size), author, int(created_ms), int(until_ms),
        int(generation),
    )  # fmt: skip
    return SecretRow(info, as_bytes(wrapped))
