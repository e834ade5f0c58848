"""What the console's pages are made from, in types of its own. Pure.

Times are milliseconds since 1970, in UTC. No value here is a secret: secrets appear by name, version and size alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strongroom.broker.ledger.audit import Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the ledger."""

    seq: int
    entry: Mapping[str, Any]
    digest: str = ""  # SHA-256 of the line, hex; empty where nobody asked


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFact:
    """One broker of this store."""

    id: str
    address: str
    version: str
    started_ms: int
    seen_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFact:
    """A secret lent to a replica until a time."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFact:
    """One version of a secret, without its value."""

    tenant: str
    name: str
    version: int
    kind: str
    state: str
    bytes: int
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorFact:
    """The least version of a model that may still be released."""

    tenant: str
    model: str
    min_version: int
    author: str
    set_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationFact:
    """Something that nothing is released to any more."""

    id: str
    tenant: str
    kind: str
    value: str
    reason: str
    author: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFact:
    """One version of a tenant's policy file."""

    tenant: str
    version: int
    digest: str
    author: str
    created_ms: int
    state: str  # in force, replaced, proposed, dropped
    votes: tuple[str, ...] = ()
    votes_needed: int = 0
    text: str = ""  # empty where nobody asked


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralFact:
    """How long the reference data of one platform family still serves."""

    family: str  # its FMSPC, or what the data is
    tee: str
    part: str
    source: str
    ends_ms: int | None
    standing: str
    problem: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFact:
    """A signed Merkle root of the ledger."""

    size: int  # lines
    time_ms: int
    root: str  # hex
    key_id: str
    text: str  # the signed note, as verifiers of transparency logs read it


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFact:
    """The end of the ledger."""

    seq: int  # -1: nothing is written yet
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundFact:
    """What the broker stands on."""

    store: str
    root: str  # what holds the root key
    brokers: tuple[BrokerFact, ...]
    collateral: tuple[CollateralFact, ...]
    head: HeadFact
    live_leases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFact:
    """One tenant."""

    name: str
    state: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminFact:
    """One person with a certificate."""

    fingerprint: str
    name: str
    role: str
    tenant: str
    state: str
    not_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A walk that runs or ran."""

    number: int
    by: str
    began_ms: int
    done: int = 0
    total: int = 0
    running: bool = True
    found: Verified | None = None
    problem: str = ""
    code: str = ""
    fix: str = ""

    @property
    def mark(self) -> str:
        """Differs whenever a page about it does."""
        return f"{self.number}-{self.running:d}-{self.done}"
