"""One admission: what a granted case still has to hold in the store, and what it leaves there. One durable transaction.

In the order in which reasons are told: the tenant is served, the clock is to be believed, nothing that the case rests
on is revoked, its model version is not below the floor, its collateral is none older than was seen, the rule's time is
not over, and the rule has a lease left. Then come the lease and the ledger's lines, together or not at all (threats
KD-09, KD-11, KD-13, SA-11). A denial reached here is written in the same transaction: each case leaves one decision.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from strongroom.attestation import Binding, Claims, Verdict
from strongroom.attestation.rollback import CollateralRollback
from strongroom.broker import floors, leases, revocations, tenants
from strongroom.broker.leases import Lease, LeaseRequest, Mark
from strongroom.broker.ledger.records import decision_record, evidence_object, grace_record, outdated_since
from strongroom.broker.names import DEFAULT_TENANT, SecretName
from strongroom.broker.release import MODEL_TOO_OLD, RULE_EXPIRED, Denial, DenialReason, Grant, ReleaseRule
from strongroom.broker.revocations import Revocation, RevocationKind
from strongroom.broker.rollback_guard import RollbackGuard
from strongroom.broker.store import Tx
from strongroom.errors import CatalogueEntry, StrongroomError
from strongroom.gramine.provisioning import SecretFormat
from strongroom.sealing import check_wrap_key
from strongroom.secret import Secret

REVOKED: Final = "REVOKED"
LEASE_LIMIT: Final = "LEASE_LIMIT"
_MEANINGS: Final = {
    REVOKED: (
        "What the evidence or the secret rests on was revoked, so no rule releases it.",
        "Replace what was revoked, or lift the revocation with strongroom broker lift if it was a mistake.",
    ),
    LEASE_LIMIT: (
        "As many replicas as the rule's max_leases hold the secret already.",
        "Wait until a lease ends, end one with strongroom broker leases --end, or raise max_leases.",
    ),
}  # what these codes mean, then what to do
_NO_PLATFORM: Final = ""
_MODEL_PREFIX: Final = "model/"
WRAP_KEY_BYTES: Final = 16


class Keyring(Protocol):
    """Where secrets are kept, by tenant and name. What is not there raises a StrongroomError."""

    def get(self, tenant: str, name: str) -> Secret:
        """Return a copy of the secret that the caller may wipe."""

    def find(self, tx: Tx, tenant: str, name: str) -> Secret:
        """Return the same inside a transaction."""

    def take_over(self, name: str) -> bool:
        """Take a key file of the default tenant into the store, if one was laid down."""


class LedgerBook(Protocol):
    """The ledger as an admission uses it."""

    def append(self, tx: Tx, record: Mapping[str, object]) -> int:
        """Put a record at the ledger's end, in this transaction; return its line number."""

    def hashed_platform(self, platform_id: bytes) -> str:
        """Return the name that a platform (its PPID) has in this ledger."""


class Guard(Protocol):
    """What a clock is watched by."""

    def check(self, store_ms: int | None = None) -> object:
        """Raise a StrongroomError while the time, beside the store's, is not to be believed (threat SA-15)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One peer's attempt, from its connection to its outcome; `id` ties log and ledger together."""

    id: str
    peer: str
    protocol: str
    tenant: str = DEFAULT_TENANT
    tls: str = ""
    fresh: bool = False  # whether the evidence answers a nonce of this broker
    holder: str = ""  # SHA-256 of the key (SubjectPublicKeyInfo) that the secret goes to, hex
    lease_id: str | None = None  # the lease that the peer wants renewed
    wanted: str = ""  # the secret that is asked for, where the protocol names one
    verdict: Verdict | None = None
    claims: Claims | None = None  # what the verdict says, or an attestation service that is asked in its place
    binding: Binding | None = None  # what the evidence was found to be bound to
    outcome: Grant | Denial | None = None
    began: float = field(default_factory=time.perf_counter)  # on this process' own clock, in seconds

    @property
    def request_id(self) -> str:
        """The caller's own id of its request, where the case's id begins with one; else the case's."""
        return self.id.rpartition("-")[0] or self.id

    @property
    def subject(self) -> Verdict | Claims | None:
        """What there is to decide on: our own verdict, or what a service said."""
        return self.claims if self.verdict is None else self.verdict

    @property
    def granted(self) -> bool:
        """Whether the evidence earns a secret."""
        return isinstance(self.outcome, Grant)

    @property
    def secret_format(self) -> SecretFormat:
        """How the rule that grants has the secret handed over, where the protocol leaves that open."""
        return self.outcome.rule.limits.secret_format if isinstance(self.outcome, Grant) else SecretFormat.RAW16


@dataclass(frozen=True, slots=True)
class Released:
    """A secret that may leave now, and the lease that it is held under. Whoever takes it wipes it."""

    secret: Secret
    lease: Lease


class Attempt:
    """One granted case on its way through the store: an operation that may run again, and what it holds meanwhile."""

    __slots__ = ("_admission", "_secret", "case", "grant", "warnings")

    def __init__(self, admission: Admission, case: Case, grant: Grant) -> None:
        self._admission = admission
        self._secret: Secret | None = None
        self.case = case
        self.grant = grant
        self.warnings: tuple[str, ...] = ()  # for the owner, once it is durable

    def __call__(self, tx: Tx) -> Lease | Denial:
        """Admit the case, or write down why not."""
        self.hold(None)
        return self._admission.admit(tx, self)

    def hold(self, secret: Secret | None) -> None:
        """Keep the secret until it is taken; one held before, or nobody took, is overwritten."""
        if self._secret is not None:
            self._secret.wipe()
        self._secret = secret

    def take(self) -> Secret:
        """Return the secret, which is the caller's from now on."""
        secret, self._secret = self._secret, None
        if secret is None:
            raise ValueError("nothing was admitted")
        return secret


class Admission:
    """Writes admissions and denials; threads may share it. `broker`: the name of this broker in leases."""

    def __init__(
        self, keyring: Keyring, ledger: LedgerBook, rollback: RollbackGuard, *, guard: Guard | None = None,
        broker: str = "",
    ) -> None:  # fmt: skip
        self._keyring = keyring
        self._guard = guard
        self._ledger = ledger
        self._rollback = rollback
        self._broker = broker

    def admit(self, tx: Tx, attempt: Attempt) -> Lease | Denial:
        """Grant or renew the case's lease and write it down; or write down why not. `attempt` gets the secret."""
        case, grant = attempt.case, attempt.grant
        name, platform = SecretName.parse(grant.secret_name), self._platform(case)
        marks = () if case.claims is None else revocations.marks_of(case.claims, platform=platform)
        objections = tuple(self._objections(tx, case, grant.rule, name, marks))
        if objections:
            return self.deny(tx, case, Denial(objections))
        try:
            attempt.hold(self._fit(tx, case.tenant, grant.secret_name))
        except StrongroomError as problem:
            return self.deny(tx, case, Denial((DenialReason.of_error(problem),)))
        lease = self._lease(tx, case, grant, platform, marks)
        if lease is None:
            attempt.hold(None)
            return self.deny(tx, case, Denial((_no_lease_left(grant.rule, grant.secret_name),)))
        attempt.warnings = self._write_grace(tx, case, grant)
        self._write(tx, case, grant, lease, platform)
        return lease

    def _fit(self, tx: Tx, tenant: str, name: str) -> Secret:
        """Return a secret fit to be released. Raises WeakKey, or what the keyring raises."""
        secret = self._keyring.find(tx, tenant, name)
        try:
            check_fit(name, secret)
        except StrongroomError:
            secret.wipe()
            raise
        return secret

    def _write_grace(self, tx: Tx, case: Case, grant: Grant) -> tuple[str, ...]:
        """Leave an audit record for the use of a grace, and return what the log is to say (threat TCB-11)."""
        if case.claims is None:
            return ()
        since, expired = outdated_since(case.claims, grant.rule), case.claims.in_grace or ()
        if not expired and since is None:
            return ()
        self._ledger.append(tx, grace_record(case.id, grant, collateral=expired, outdated_since=since))
        what = ", ".join(expired) or f"a platform level of {since}"
        return (f"GRACE used by rule {grant.rule.name!r}: {what}",)

    def deny(self, tx: Tx, case: Case, denial: Denial) -> Denial:
        """Write down that the case got nothing, and why."""
        self._write(tx, case, denial, None, self._platform(case))
        return denial

    def _objections(
        self, tx: Tx, case: Case, rule: ReleaseRule, name: SecretName, marks: tuple[Mark, ...]
    ) -> Iterator[DenialReason]:
        if not tenants.active(tx, case.tenant):
            yield from tenants.refusal(case.tenant).reasons
        if self._guard is not None:
            try:
                self._guard.check(tx.now_ms)
            except StrongroomError as problem:
                yield DenialReason.of_error(problem)
        for revocation in revocations.check(tx, case.tenant, name, marks):
            yield _revoked(rule, revocation)
        if name.version is not None:
            least = floors.floor(tx, case.tenant, name.name)
            if name.version < least:
                yield _too_old(rule, name, least)
        if case.claims is not None:
            try:
                self._rollback.check(tx, case.claims)
            except CollateralRollback as problem:
                yield DenialReason.of_error(problem)
        until = rule.limits.until
        if until is not None and tx.now_ms >= _milliseconds(until):
            yield _over(rule, until, tx.now_ms)

    def _lease(self, tx: Tx, case: Case, grant: Grant, platform: str, marks: tuple[Mark, ...]) -> Lease | None:
        limits, claims = grant.rule.limits, case.claims
        measured = None if claims is None else claims.mr_enclave or claims.mr_td
        asked = LeaseRequest(
            tenant=case.tenant, secret=grant.secret_name, rule=grant.rule.name, holder=case.holder,
            protocol=case.protocol, peer=case.peer, measurement="" if measured is None else measured.hex(),
            platform=platform, broker=self._broker, marks=marks,
            tcb_status="" if claims is None or claims.tcb_status is None else claims.tcb_status.value,
        )  # fmt: skip
        until_ms = None if limits.until is None else _milliseconds(limits.until)
        known = case.lease_id
        if known is None and limits.max_leases is not None:
            known = leases.held(tx, asked)
        if known is not None:
            lease = leases.renew(tx, known, asked, seconds=limits.lease_seconds, until_ms=until_ms)
            if lease is not None:
                return lease
        return leases.grant(tx, asked, seconds=limits.lease_seconds, limit=limits.max_leases, until_ms=until_ms)

    def _write(
        self, tx: Tx, case: Case, outcome: Grant | Denial, lease: Lease | None, platform: str
    ) -> None:  # fmt: skip
        evidence = None if case.claims is None else evidence_object(case.claims, platform=platform or None)
        record = decision_record(
            outcome, evidence, correlation=case.id, tenant=case.tenant, peer=case.peer, protocol=case.protocol,
            tls=case.tls, fresh=case.fresh, holder=case.holder, lease=lease,
            wanted=case.outcome.secret_name if isinstance(case.outcome, Grant) else case.wanted,
        )  # fmt: skip
        self._ledger.append(tx, record)

    def _platform(self, case: Case) -> str:
        """Return the platform's keyed hash; empty where the evidence names none, as a token."""
        ppid = None if case.claims is None else case.claims.pck_ppid
        return _NO_PLATFORM if ppid is None else self._ledger.hashed_platform(ppid)


def check_fit(name: str, secret: Secret) -> None:
    """Raise WeakKey for a key that must not protect anything, such as the published sample key (threat KD-02)."""
    if name.startswith(_MODEL_PREFIX) or len(secret) == WRAP_KEY_BYTES:
        check_wrap_key(secret)


def _revoked(rule: ReleaseRule, revocation: Revocation) -> DenialReason:
    # The serial number of a PCK certificate names a platform in plain, which the ledger does not (threat PL-07).
    what = revocation.kind.value if revocation.kind is RevocationKind.PCK else str(revocation)
    since = datetime.fromtimestamp(revocation.created_ms / 1000, UTC)
    why = f": {revocation.reason}" if revocation.reason else ""
    return DenialReason(
        code=REVOKED, rule=rule.name, word="revocation",
        observed=f"{what}, revoked {since:%Y-%m-%dT%H:%M:%SZ} as {revocation.id}{why}",
        expected="nothing that is revoked", fix=_MEANINGS[REVOKED][1],
    )  # fmt: skip


def _too_old(rule: ReleaseRule, name: SecretName, least: int) -> DenialReason:
    return DenialReason(
        code=MODEL_TOO_OLD, rule=rule.name, word="floor", observed=str(name),
        expected=f"version {least} or later, the model's floor",
        fix="Load a later version; a floor never falls, so publish the old model again if it has to come back.",
    )  # fmt: skip


def _over(rule: ReleaseRule, until: datetime, now_ms: int) -> DenialReason:
    return DenialReason(
        code=RULE_EXPIRED, rule=rule.name, word="until",
        observed=f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
        expected=f"before {until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        fix="Set a later until if the build may still have the secret.",
    )  # fmt: skip


def _no_lease_left(rule: ReleaseRule, secret: str) -> DenialReason:
    limit = rule.limits.max_leases
    return DenialReason(
        code=LEASE_LIMIT, rule=rule.name, word="max_leases", observed=f"{limit} live leases of {secret}",
        expected=f"fewer than {limit}", fix=_MEANINGS[LEASE_LIMIT][1],
    )  # fmt: skip


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def entries() -> Iterator[CatalogueEntry]:
    """Yield what the codes mean that an admission adds to those of a release."""
    for code, (meaning, fix) in _MEANINGS.items():
        yield CatalogueEntry(code, "policy", meaning, fix)
