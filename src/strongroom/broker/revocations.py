"""Revocations: what gets nothing more, whatever the rules say (threats PL-05 and KD-11).

Repository over one transaction. A revocation names a tenant, or `*` for all, and counts from the transaction that
wrote it on; it also ends the live leases that it touches. Lifting one lets the rules decide again.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from strongroom.attestation import Claims
from strongroom.broker import leases
from strongroom.broker.leases import Lease, Mark
from strongroom.broker.names import SecretKind, SecretName, check_tenant
from strongroom.broker.store import Tx
from strongroom.errors import BadInput

EVERY_TENANT: Final = "*"
MAX_TEXT: Final = 400
_ID_BYTES: Final = 8
_COLUMNS: Final = "id, tenant, kind, value, reason, author, created_ms, lifted_ms"


class RevocationKind(StrEnum):
    """What a revocation names."""

    MEASUREMENT = "measurement"  # MRENCLAVE (32 bytes), MRTD or one of the RTMRs (48 bytes), hex
    SIGNER = "signer"  # MRSIGNER, hex
    PLATFORM = "platform"  # the ledger's keyed hash of the platform
    FMSPC = "fmspc"  # a platform family, 12 hex digits
    PCK = "pck"  # the serial number of a PCK certificate, hex
    SECRET = "secret"  # noqa: S105  # a kind: the full name of one secret
    MODEL = "model"  # all versions of a model, by its name


class RevocationMalformed(BadInput):
    """A revocation names nothing that could be revoked."""

    code = "SR-REVOCATION"
    fix = "Give a kind (measurement, signer, platform, fmspc, pck, secret or model) and a value of its form."


class RevocationUnknown(BadInput):
    """There is no revocation of this id that is in force."""

    code = "SR-REVOCATION-UNKNOWN"
    fix = "List the revocations in force, and use the id of one of them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One revocation as the store holds it; it is in force until `lifted_ms` is set."""

    id: str
    tenant: str
    kind: RevocationKind
    value: str
    reason: str
    author: str
    created_ms: int
    lifted_ms: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """What revoking came to."""

    revocation: Revocation
    ended: tuple[Lease, ...]  # the leases that it ended


_HEX: Final = {
    RevocationKind.MEASUREMENT: re.compile(r"[0-9a-f]{64}|[0-9a-f]{96}", re.ASCII),
    RevocationKind.SIGNER: re.compile(r"[0-9a-f]{64}", re.ASCII),
    RevocationKind.PLATFORM: re.compile(r"[0-9a-f]{8,64}", re.ASCII),
    RevocationKind.FMSPC: re.compile(r"[0-9A-F]{12}", re.ASCII),
    RevocationKind.PCK: re.compile(r"[0-9A-F]{1,40}", re.ASCII),
}
_FORM: Final = {
    RevocationKind.MEASUREMENT: "64 or 96 hex digits",
    RevocationKind.SIGNER: "64 hex digits",
    RevocationKind.PLATFORM: "the keyed hash that the ledger shows, 8 to 64 hex digits",
    RevocationKind.FMSPC: "12 hex digits",
    RevocationKind.PCK: "a serial number, at most 40 hex digits",
}
_UPPER: Final = (RevocationKind.FMSPC, RevocationKind.PCK)


def parse(kind: str, value: str) -> tuple[RevocationKind, str]:
    """Return kind and value in their one spelling. Raises RevocationMalformed or BadSecretName."""
    if kind not in list(RevocationKind):
        raise RevocationMalformed(f"{kind[:40]!r} is no kind of revocation")
    found = RevocationKind(kind)
    if found is RevocationKind.SECRET:
        return found, str(SecretName.parse(value))
    if found is RevocationKind.MODEL:
        return found, SecretName(SecretKind.MODEL, value, 1).name
    value = value.upper() if found in _UPPER else value.lower()
    value = (value.lstrip("0") or value[:1]) if found is RevocationKind.PCK else value
    if not _HEX[found].fullmatch(value):
        raise RevocationMalformed(f"{value[:100]!r} is no {found}: that is {_FORM[found]}")
    return found, value


def marks_of(claims: Claims, *, platform: str | None) -> tuple[Mark, ...]:
    """Return what a revocation may name in the claims of evidence; `platform` is the ledger's hash of it."""
    measured = (claims.mr_enclave, claims.mr_td, claims.rtmr0, claims.rtmr1, claims.rtmr2, claims.rtmr3)
    marks = [(RevocationKind.MEASUREMENT.value, value.hex()) for value in measured if value is not None]
    if claims.mr_signer is not None:
        marks.append((RevocationKind.SIGNER, claims.mr_signer.hex()))
    if platform:
        marks.append((RevocationKind.PLATFORM, platform))
    if claims.fmspc is not None:
        marks.append((RevocationKind.FMSPC, claims.fmspc.upper()))
    if claims.pck_serial is not None:
        marks.append((RevocationKind.PCK, f"{claims.pck_serial:X}"))
    return tuple((str(kind), value) for kind, value in marks)


def revoke(
    tx: Tx, *, kind: str, value: str, author: str, reason: str = "", tenant: str = EVERY_TENANT
) -> Revoked:  # fmt: skip
    """Put a revocation in force and end the leases it touches; one that is in force already is returned as it is.

    Raises RevocationMalformed or BadSecretName.
    """
    if tenant != EVERY_TENANT:
        check_tenant(tenant)
    found, value = parse(kind, value)
    same = [each for each in active(tx) if (each.tenant, each.kind, each.value) == (tenant, found, value)]
    new = same[0] if same else Revocation(
        id=secrets.token_hex(_ID_BYTES), tenant=tenant, kind=found, value=value, reason=reason[:MAX_TEXT],
        author=author[:MAX_TEXT], created_ms=tx.now_ms,
    )  # fmt: skip
    if not same:
        tx.execute(
            f"INSERT INTO revocations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  # names of columns
            (new.id, tenant, found.value, value, new.reason, new.author, new.created_ms, None),
        )
    ended = leases.end_touched(tx, None if tenant == EVERY_TENANT else tenant, found.value, value)
    return Revoked(revocation=new, ended=ended)


def lift(tx: Tx, revocation_id: str, *, tenant: str | None = None) -> Revocation:
    """Take a revocation (of this tenant, where one is named) out of force. Raises RevocationUnknown."""
    for each in active(tx):
        if each.id == revocation_id and tenant in (None, each.tenant):
            tx.execute("UPDATE revocations SET lifted_ms = ? WHERE id = ?", (tx.now_ms, each.id))
            return each
    raise RevocationUnknown(f"no revocation {revocation_id[:40]!r} is in force")


def active(tx: Tx, tenant: str | None = None) -> tuple[Revocation, ...]:
    """Return what is in force, oldest first: all of it, or what touches one tenant."""
    whose, value = ("", ()) if tenant is None else (" AND tenant IN (?, ?)", (tenant, EVERY_TENANT))
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM revocations WHERE lifted_ms IS NULL{whose} ORDER BY created_ms, id",  # noqa: S608  # constants
        value,
    )
    return tuple(_revocation(row) for row in rows)


def check(tx: Tx, tenant: str, secret: SecretName, marks: Sequence[Mark]) -> tuple[Revocation, ...]:
    """Return the revocations in force that keep `secret` of a tenant from evidence with these marks."""
    named: list[Mark] = [*marks, (RevocationKind.SECRET.value, str(secret))]
    if secret.kind is SecretKind.MODEL:
        named.append((RevocationKind.MODEL.value, secret.name))
    either = " OR ".join(["(kind = ? AND value = ?)"] * len(named))
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM revocations WHERE ({either}) AND lifted_ms IS NULL"  # noqa: S608  # placeholders
        " AND tenant IN (?, ?) ORDER BY created_ms, id",
        [*(text for mark in named for text in mark), tenant, EVERY_TENANT],
    )
    return tuple(_revocation(row) for row in rows)


def _revocation(row: Sequence[Any]) -> Revocation:
    id_, tenant, kind, value, reason, author, created_ms, lifted_ms = row
    return Revocation(
        id=id_, tenant=tenant, kind=RevocationKind(kind), value=value, reason=reason, author=author,
        created_ms=created_ms, lifted_ms=lifted_ms,
    )  # fmt: skip
