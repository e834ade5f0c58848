"""What a broker does, whatever protocol asks: judge evidence, decide, write the ledger, hand out one secret.

World: the policy file, the ledger, the secret source, the collateral source, the clock; each comes from the caller.
Everything that goes wrong here ends in a denial: the owner reads why in log and ledger, under one id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from strongroom.attestation import Anchor, Claims, TrustDomain, Verdict, Verifier
from strongroom.broker.appraisal import RemoteJudge, appraise_by_service, appraise_certificate
from strongroom.broker.ledger.file import Ledger, LedgerUnwritable
from strongroom.broker.ledger.records import decision_record, evidence_object, grace_record, policy_record
from strongroom.broker.policy.file import ReleasePolicy
from strongroom.broker.policy.watched import PolicyChange, PolicyStore
from strongroom.broker.recorder import EvidenceRecorder
from strongroom.broker.release import Denial, DenialReason, Grant, decide, outdated_since
from strongroom.broker.rollback_guard import RollbackGuard
from strongroom.collateral import CollateralSource
from strongroom.errors import Refused, StrongroomError
from strongroom.sealing import check_wrap_key
from strongroom.secret import Secret

WRAP_KEY_BYTES = 16
_log = logging.getLogger("strongroom.broker")


class SecretSource(Protocol):
    """Where secrets are kept by name."""

    def get(self, name: str) -> Secret:
        """Return a copy of the secret that the caller may wipe; raise a StrongroomError if there is none."""


class DecisionFailed(Refused):
    """The broker itself failed while it judged a peer, so nothing was released."""

    code = "SR-DECISION-FAILED"
    fix = "This is a bug in Strongroom, not the peer's doing: report the traceback in the broker's log."


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One peer's attempt, from its connection to its outcome; `id` ties log and ledger together."""

    id: str
    peer: str
    protocol: str
    tls: str = ""
    verdict: Verdict | None = None
    claims: Claims | None = None  # what an attestation service said, where one is asked
    outcome: Grant | Denial | None = None

    @property
    def subject(self) -> Verdict | Claims | None:
        """What there is to decide on: our own verdict, or what a service said."""
        return self.claims if self.verdict is None else self.verdict

    @property
    def granted(self) -> bool:
        """Whether the evidence earns a secret."""
        return isinstance(self.outcome, Grant)


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


class ReleaseService:
    """Decides and releases for one owner. Its methods block and may be called from several threads."""

    def __init__(
        self, *, policies: PolicyStore, source: CollateralSource, anchors: Sequence[Anchor], secrets: SecretSource,
        ledger: Ledger, clock: Callable[[], datetime] = utc_now, rollback: RollbackGuard | None = None,
        recorder: EvidenceRecorder | None = None, judge: RemoteJudge | None = None,
    ) -> None:  # fmt: skip
        """`judge`: an attestation service that checks quotes in our place; collateral and anchors are not used then."""
        self._policies = policies
        self._source = source
        self._verifier = Verifier(anchors)
        self._secrets = secrets
        self._ledger = ledger
        self._clock = clock
        self._rollback = rollback or RollbackGuard()
        self._recorder = recorder
        self._judge = judge

    def begin(self) -> None:
        """Check what would be released and note the policy in force. Raises WeakKey or LedgerUnwritable.

        A secret that is not there yet is only reported: its model may be published later.
        """
        policy, _ = self._policies.current()
        self._check_secrets(policy)
        if self._ledger.repaired_bytes:
            _log.warning("the ledger ended in a torn line of %d bytes: repaired", self._ledger.repaired_bytes)
        if any(anchor.domain is TrustDomain.SIMULATED for anchor in self._verifier.anchors):
            _log.warning("SIMULATED platforms are trusted here where a rule names them: they keep nothing secret")
        self._note(self._policies.in_force())

    def _check_secrets(self, policy: ReleasePolicy) -> None:
        for name in sorted({rule.release for rule in policy.rules}):
            try:
                self._secret(name).wipe()
            except Refused:
                raise
            except StrongroomError as problem:
                _log.warning("a rule releases %s, but: %s [%s]", name, problem.sentence, problem.code)

    def consider(self, case: Case, certificate: bytes, *, tls: str, live_key: bytes | None = None) -> Case:
        """Return the case with verdict and outcome; whatever does not hold is a denial.

        `live_key`: the key of the handshake (SubjectPublicKeyInfo, DER), which has to be the certificate's.
        """
        at = self._clock()
        case = replace(case, tls=tls)
        try:
            rules = self._policy().rules
            if self._judge is not None:
                claims, binding = appraise_by_service(certificate, judge=self._judge, at=at, live_key=live_key)
                case = replace(case, claims=claims)
                return replace(case, outcome=decide(claims, rules, fresh=False, at=at, binding=binding))
            grace = max((rule.policy.collateral_grace for rule in rules), default=timedelta(0))
            found = appraise_certificate(
                certificate, source=self._source, verifier=self._verifier, at=at, collateral_grace=grace,
                live_key=live_key,
            )  # fmt: skip
            case = replace(case, verdict=found.verdict)
            if self._recorder is not None:
                self._recorder.keep(found, at=at)
            self._rollback.admit(found.verdict)
            return replace(case, outcome=decide(found.verdict, rules, fresh=False, at=at, binding=found.binding))
        except StrongroomError as problem:
            return replace(case, outcome=_denial(problem))
        except Exception:  # noqa: BLE001  # deny by default: no surprise may find a way around the ledger
            _log.exception("%s: a defect while judging %s", case.id, case.peer)
            return replace(case, outcome=_denial(DecisionFailed("the broker failed while it judged the evidence")))

    def release(self, case: Case) -> Secret | None:
        """Return the secret of a granted case once the ledger's line is on the disk; None if that cannot be."""
        if not isinstance(case.outcome, Grant):
            raise TypeError("only a granted case releases anything")
        try:
            secret = self._secret(case.outcome.secret_name)
        except StrongroomError as problem:
            self.refuse(case, problem)
            return None
        try:
            self._write_grace(case, case.outcome)
            self._write(case, case.outcome, durable=True)
        except LedgerUnwritable as problem:
            secret.wipe()
            _log.error("%s: NOT released: %s [%s]", case.id, problem.sentence, problem.code)
            return None
        grant, where = case.outcome, "" if case.subject is None else f" on the platform {case.subject.trust_domain}"
        _log.info("%s: released %s to %s%s by rule %r", case.id, grant.secret_name, case.peer, where, grant.rule.name)
        return secret

    def refuse(self, case: Case, problem: StrongroomError | None = None) -> None:
        """Write why nothing was released: the case's denial, or `problem` that came before or after it."""
        outcome = _denial(problem) if problem or not isinstance(case.outcome, Denial) else case.outcome
        for reason in outcome.reasons:
            _log.warning("%s: refused %s: %s", case.id, case.peer, reason)
        try:
            self._write(case, outcome, durable=case.subject is not None)
        except LedgerUnwritable as trouble:
            _log.error("%s: %s [%s]", case.id, trouble.sentence, trouble.code)

    def _secret(self, name: str) -> Secret:
        """Return a secret fit to be released. Raises WeakKey, or what the source raises."""
        secret = self._secrets.get(name)
        if name.startswith("model/") or len(secret) == WRAP_KEY_BYTES:
            check_wrap_key(secret)
        return secret

    def _write(self, case: Case, outcome: Grant | Denial, *, durable: bool) -> None:
        evidence = None
        if case.subject is not None:  # a token names no platform
            platform = None if case.verdict is None else self._ledger.hashed_platform(case.verdict.pck.ppid)
            evidence = evidence_object(case.subject, platform=platform)
        record = decision_record(
            outcome, evidence, correlation=case.id, peer=case.peer, protocol=case.protocol, tls=case.tls
        )
        self._ledger.append(record, at=self._clock(), durable=durable)

    def _write_grace(self, case: Case, grant: Grant) -> None:
        """Leave an audit record and a line in the log for each use of a grace (threat TCB-11)."""
        if case.verdict is None:
            return
        since = outdated_since(case.verdict, grant.rule)
        if not case.verdict.in_grace and since is None:
            return
        record = grace_record(case.id, grant, collateral=case.verdict.in_grace, outdated_since=since)
        self._ledger.append(record, at=self._clock(), durable=False)  # the decision behind it carries it to the disk
        what = ", ".join(case.verdict.in_grace) or f"a platform level of {since}"
        _log.warning("%s: GRACE used by rule %r: %s", case.id, grant.rule.name, what)

    def _policy(self) -> ReleasePolicy:
        """Return the policy in force, and say once per edit what became of it."""
        policy, change = self._policies.current()
        if change is not None:
            if change.problem:
                _log.error("POLICY NOT TAKEN, the last good one stays in force: %s", change.problem)
            else:
                _log.warning("policy changed: %d rules are in force", change.rules)
            self._note(change)
        return policy

    def _note(self, change: PolicyChange) -> None:
        record = policy_record(rules=change.rules, digest=change.digest, problem=change.problem)
        self._ledger.append(record, at=self._clock())


def _denial(problem: StrongroomError | None) -> Denial:
    return Denial((DenialReason.of_error(problem or DecisionFailed("the case was never decided")),))
