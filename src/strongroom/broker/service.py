"""What a broker does, whatever protocol asks: judge evidence, decide, admit in one transaction, hand out one secret.

World: the store with policy, ledger and secrets in it, the collateral source, the clock; each comes from the caller.
Everything that goes wrong here ends in a denial: the owner reads why in log and ledger, under one id.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from strongroom.attestation import Anchor, Binding, BindingKind, Claims, TrustDomain, Verifier, claims_of
from strongroom.broker.admission import Admission, Attempt, Case, Guard, Keyring, LedgerBook, Released, check_fit
from strongroom.broker.appraisal import (
    AtHand,
    ReadySource,
    RemoteJudge,
    WouldWait,
    appraise_by_service,
    appraise_quote,
)
from strongroom.broker.denials import DenialGate, Flood
from strongroom.broker.leases import Lease
from strongroom.broker.ledger.records import denials_record
from strongroom.broker.names import DEFAULT_TENANT, SecretName
from strongroom.broker.policy.file import ReleasePolicy
from strongroom.broker.policy.history import PolicyChange
from strongroom.broker.recorder import EvidenceRecorder
from strongroom.broker.release import Denial, DenialReason, Grant, ReleaseRule, decide
from strongroom.broker.rollback_guard import RollbackGuard
from strongroom.broker.store import Store, Tx
from strongroom.collateral import CollateralSource
from strongroom.errors import Refused, StrongroomError
from strongroom.pki import ratls

__all__ = ["Case", "DecisionFailed", "ReleaseService", "Released", "utc_now"]
GRACE_COUNTS_FOR: Final = timedelta(seconds=60)
_log = logging.getLogger("strongroom.broker")


class PolicyBook(Protocol):
    """The policies in force, by tenant."""

    def tenants(self) -> frozenset[str]:
        """Return the tenants that are served."""

    def current(self, tenant: str) -> tuple[ReleasePolicy, PolicyChange | None]:
        """Return the policy in force, and once per edit what became of it; raise a StrongroomError without one."""

    def in_force(self, tenant: str) -> PolicyChange:
        """Return what was taken last."""


class Observer(Protocol):
    """Who counts decisions."""

    def admission(self, *, protocol: str, granted: bool, codes: Iterable[str] = (), seconds: float | None) -> None:
        """Count one that is durable, or whose refusal was said; `seconds`: since the case began."""


class DecisionFailed(Refused):
    """The broker itself failed while it judged a peer, so nothing was released."""

    code = "SR-DECISION-FAILED"
    fix = "This is a bug in Strongroom, not the peer's doing: report the traceback in the broker's log."


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


class ReleaseService:
    """Decides and releases for the tenants of one store. Its methods may be called from several threads.

    Those that return a future do not wait for the store; the others do. `judge` and `consider` may wait for collateral.
    """

    def __init__(
        self, *, store: Store, policies: PolicyBook, keyring: Keyring, ledger: LedgerBook, source: CollateralSource,
        anchors: Sequence[Anchor], clock: Callable[[], datetime] = utc_now, rollback: RollbackGuard | None = None,
        recorder: EvidenceRecorder | None = None, judge: RemoteJudge | None = None, guard: Guard | None = None,
        broker: str = "", observer: Observer | None = None,
    ) -> None:  # fmt: skip
        """`judge`: an attestation service that checks quotes in our place; collateral and anchors are not used then.

        `guard`: stops releases while the clock is not to be trusted. `broker`: this broker's name in leases.
        """
        self._store = store
        self._policies = policies
        self._keyring = keyring
        self._ledger = ledger
        self._source = source
        quick = recorder is None and judge is None and not store.shared
        self._at_hand = AtHand(source) if quick and isinstance(source, ReadySource) else None
        self._verifier = Verifier(anchors)
        self._clock = clock
        self._rollback = rollback or RollbackGuard(store)
        self._recorder = recorder
        self._judge = judge
        self._guard = guard
        self._observer = observer
        self._admission = Admission(keyring, ledger, self._rollback, guard=guard, broker=broker)
        self._gate = DenialGate(self._write_flood)

    def begin(self) -> None:
        """Check what would be released and note the policies in force. Raises WeakKey or StoreUnavailable.

        A secret that is not there yet is only reported: its model may be published later.
        """
        if any(anchor.domain is TrustDomain.SIMULATED for anchor in self._verifier.anchors):
            _log.warning("SIMULATED platforms are trusted here where a rule names them: they keep nothing secret")
        for tenant in sorted(self._policies.tenants()):
            self._check_secrets(tenant, self._policy(tenant))
            self._note(self._policies.in_force(tenant))

    def check_clock(self) -> None:
        """Raise ClockUntrusted while the clock keeps every release back."""
        if self._guard is not None:
            self._guard.check()

    def close(self) -> None:
        """Write down what was counted of a flood of denials."""
        self._gate.flush()

    def tenant_of(self, server_name: str) -> str:
        """Return whom a TLS server name asks for: the tenant of its first label, else the default one."""
        label = server_name.partition(".")[0].lower()
        return label if label and label in self._policies.tenants() else DEFAULT_TENANT

    def _check_secrets(self, tenant: str, policy: ReleasePolicy) -> None:
        for name in sorted({str(rule.single) for rule in policy.rules if rule.single is not None}):
            try:
                secret = self._keyring.get(tenant, name)
                check_fit(name, secret)
                secret.wipe()
            except Refused:
                raise
            except StrongroomError as problem:
                _log.warning("a rule releases %s, but: %s [%s]", name, problem.sentence, problem.code)

    def consider(self, case: Case, certificate: bytes, *, tls: str, live_key: bytes | None = None) -> Case:
        """Judge the evidence in an RA-TLS certificate and decide; whatever does not hold is a denial.

        `live_key`: the key of the handshake (SubjectPublicKeyInfo, DER), which has to be the certificate's.
        """
        return self._consider(case, certificate, self._source, tls=tls, live_key=live_key)

    def consider_at_once(
        self, case: Case, certificate: bytes, *, tls: str, live_key: bytes | None = None
    ) -> Case | None:  # fmt: skip
        """Do the same where it only takes a moment; None where collateral, a service or a disk might be waited for."""
        if self._at_hand is None:
            return None
        try:
            return self._consider(case, certificate, self._at_hand, tls=tls, live_key=live_key)
        except WouldWait:
            return None

    def _consider(
        self, case: Case, certificate: bytes, source: CollateralSource, *, tls: str, live_key: bytes | None
    ) -> Case:  # fmt: skip
        at = self._clock()
        try:
            evidence = ratls.open_certificate(certificate, at=at, live_key=live_key)
            case = replace(case, tls=tls, holder=hashlib.sha256(evidence.spki).hexdigest())
            rules = self._policy(case.tenant).rules
            case = self._judged(
                case, evidence.quote, rules, source, report_data=evidence.report_data, bound=evidence.bound, at=at
            )
            return case if case.outcome else self._decided(case, rules, None)
        except WouldWait:
            raise
        except Exception as problem:  # noqa: BLE001  # deny by default: no surprise may find a way around the ledger
            return self._failed(replace(case, tls=tls), problem)

    def judge(self, case: Case, quote: bytes, *, report_data: bytes, bound: bytes) -> Case:
        """Return the case with what `quote` proves, or with a denial; nothing is decided or written yet.

        The quote has to be over these 64 bytes of report data, with which the caller found it bound to `bound`.
        """
        try:
            rules = self._policy(case.tenant).rules
            return self._judged(
                case, quote, rules, self._source, report_data=report_data, bound=bound, at=self._clock()
            )
        except Exception as problem:  # noqa: BLE001  # as above
            return self._failed(case, problem)

    def _judged(
        self, case: Case, quote: bytes, rules: Sequence[ReleaseRule], source: CollateralSource, *, report_data: bytes,
        bound: bytes, at: datetime,
    ) -> Case:  # fmt: skip
        binding = Binding(kind=BindingKind.KEY, public_key_spki=bound)
        if self._judge is not None:
            claims = appraise_by_service(quote, judge=self._judge, bound=bound, report_data=report_data, at=at)
            return replace(case, binding=binding, claims=claims)
        grace = max((rule.policy.collateral_grace for rule in rules), default=timedelta(0))
        found = appraise_quote(
            quote, report_data=report_data, source=source, verifier=self._verifier, at=at, collateral_grace=grace
        )
        if self._recorder is not None:
            self._recorder.keep(found, at=at)
        claims, denial = claims_of(found.verdict), None
        if source is self._at_hand and not self._rollback.knows(claims):
            raise WouldWait  # for the store, which has to keep the number
        try:
            self._rollback.admit(claims)
        except StrongroomError as problem:  # what the evidence says is known all the same
            denial = _denial(problem)
        return replace(case, binding=binding, verdict=found.verdict, claims=claims, outcome=denial)

    def decide(self, case: Case, wanted: SecretName | None) -> Case:
        """Return the case with what its tenant's rules give it; `wanted`: None where the protocol names no secret.

        A denial that the case has stays. Nothing is written.
        """
        case = replace(case, wanted="" if wanted is None else str(wanted))
        if isinstance(case.outcome, Denial):
            return case
        try:
            return self._decided(case, self._policy(case.tenant).rules, wanted)
        except Exception as problem:  # noqa: BLE001  # as above
            return self._failed(case, problem)

    def _decided(self, case: Case, rules: Sequence[ReleaseRule], wanted: SecretName | None) -> Case:
        if case.claims is None:
            raise TypeError("there is nothing to decide on before evidence was judged")
        outcome = decide(
            case.claims, rules, fresh=case.fresh, at=self._moment(case.claims), binding=case.binding, wanted=wanted
        )
        return replace(case, outcome=outcome)

    def _moment(self, claims: Claims) -> datetime:
        """Return the time to decide at: now, but for evidence in a collateral's grace that of its judgement.

        Only the verifier can tell what a grace excuses, so a policy counts it at the verdict's own time alone; the
        verdict has to be a fresh one.
        """
        now, judged_at = self._clock(), claims.judged_at
        recent = judged_at is not None and timedelta(0) <= now - judged_at <= GRACE_COUNTS_FOR
        return judged_at if claims.in_grace and judged_at is not None and recent else now

    def release(self, case: Case) -> Released | None:
        """Admit a granted case in one durable transaction and return its secret; None after a denial was written.

        Raises the store's or the ledger's error where neither can be written: then nothing was released.
        """
        return self.submit_release(case).result()

    def submit_release(self, case: Case) -> Future[Released | None]:
        """Do the same without waiting; the future is done once what was written is durable."""
        if not isinstance(case.outcome, Grant):
            raise TypeError("only a granted case releases anything")
        attempt = Attempt(self._admission, case, case.outcome)
        done: Future[Released | None] = Future()

        def finished(written: Future[Lease | Denial]) -> None:
            try:
                done.set_result(self._handed_over(attempt, written.result()))
            except StrongroomError as problem:
                _log.error("%s: NOT released: %s [%s]", case.id, problem.sentence, problem.code)
                done.set_exception(problem)
            except BaseException as defect:  # noqa: BLE001  # whoever waits has to hear of it
                _log.exception("%s: a defect while admitting %s", case.id, case.peer)
                done.set_exception(defect)

        try:
            self._keyring.take_over(case.outcome.secret_name)
            self._store.submit(attempt).add_done_callback(finished)
        except StrongroomError as problem:
            _follow(self.submit_refusal(case, problem), done)
        return done

    def _handed_over(self, attempt: Attempt, written: Lease | Denial) -> Released | None:
        """Return what a durable admission releases; None, and a line in the owner's log, for a denial."""
        case = attempt.case
        if isinstance(written, Denial):
            self._tell(case, written)
            return None
        self._count(case, granted=True)
        domain = "" if case.claims is None else f" on the platform {case.claims.trust_domain}"
        about = {"request_id": case.request_id}
        for warning in attempt.warnings:
            _log.warning("%s: %s", case.id, warning, extra=about)
        _log.info(
            "%s: released %s to %s%s by rule %r", case.id, written.secret, case.peer, domain, written.rule, extra=about
        )
        return Released(attempt.take(), written)

    def refuse(self, case: Case, problem: StrongroomError | None = None) -> None:
        """Write why nothing was released: the case's denial, or `problem` that came before or after it."""
        self.submit_refusal(case, problem).result()

    def submit_refusal(self, case: Case, problem: StrongroomError | None = None) -> Future[None]:
        """Do the same without waiting. Trouble with the store is logged; nothing was released anyhow."""
        outcome = _denial(problem) if problem or not isinstance(case.outcome, Denial) else case.outcome
        done: Future[None] = Future()
        if not self._gate.passes(case.id, outcome.reasons[0].code, case.peer):
            self._count(case, granted=False, codes=[reason.code for reason in outcome.reasons])
            done.set_result(None)
            return done
        self._tell(case, outcome)
        self._submit_quietly(case.id, lambda tx: self._admission.deny(tx, case, outcome), done)
        return done

    def _submit_quietly(self, what: str, operation: Callable[[Tx], object], done: Future[None]) -> None:
        """Write what releases nothing; `done` is done when it is durable, or when the trouble has been logged."""

        def finished(written: Future[object]) -> None:
            trouble = written.exception()
            if isinstance(trouble, StrongroomError):
                _log.error("%s: %s [%s]", what, trouble.sentence, trouble.code)
            elif trouble is not None:
                _log.error("%s: a defect while writing a denial", what, exc_info=trouble)
            done.set_result(None)

        try:
            self._store.submit(operation).add_done_callback(finished)
        except StrongroomError as trouble:  # the store is closed, or too much is waiting for it
            _log.error("%s: %s [%s]", what, trouble.sentence, trouble.code)
            done.set_result(None)

    def _write_flood(self, flood: Flood) -> None:
        record = denials_record(flood.codes, peers=flood.busiest, first=flood.first, last=flood.last)
        _log.warning("%d more refusals, too many to write one by one: %s", record["count"], record["codes"])
        self._submit_quietly(flood.last, lambda tx: self._ledger.append(tx, record), Future())

    def _count(self, case: Case, *, granted: bool, codes: Sequence[str] = ()) -> None:
        if self._observer is not None:
            seconds = time.perf_counter() - case.began
            self._observer.admission(protocol=case.protocol, granted=granted, codes=codes, seconds=seconds)

    def _tell(self, case: Case, denial: Denial) -> None:
        self._count(case, granted=False, codes=[reason.code for reason in denial.reasons])
        for reason in denial.reasons:
            _log.warning("%s: refused %s: %s", case.id, case.peer, reason, extra={"request_id": case.request_id})

    def _failed(self, case: Case, problem: Exception) -> Case:
        if not isinstance(problem, StrongroomError):
            _log.error("%s: a defect while judging %s", case.id, case.peer, exc_info=problem)
            problem = DecisionFailed("the broker failed while it judged the evidence")
        return replace(case, outcome=_denial(problem))

    def _policy(self, tenant: str) -> ReleasePolicy:
        """Return a tenant's policy in force, and say once per change what became of it."""
        policy, change = self._policies.current(tenant)
        if change is not None:
            for notice in change.notices():
                _log.log(logging.ERROR if change.problem else logging.WARNING, "%s", notice)
            self._note(change)
        return policy

    def _note(self, change: PolicyChange) -> None:
        self._store.write(lambda tx: self._ledger.append(tx, change.record()))


def _denial(problem: StrongroomError | None) -> Denial:
    return Denial((DenialReason.of_error(problem or DecisionFailed("the case was never decided")),))


def _follow(refusal: Future[None], done: Future[Released | None]) -> None:
    """Let a release that came to nothing be done when its refusal is."""
    refusal.add_done_callback(lambda _: done.set_result(None))
