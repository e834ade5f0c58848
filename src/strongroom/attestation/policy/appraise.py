"""Turn claims into a decision: what a key owner allows, rule by rule, with reasons (specification section 8).

A decision lists all reasons, the simulated platform's first; the owner sees them, a peer never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.binding import Binding
from strongroom.attestation.claims import Claims, claims_of
from strongroom.attestation.policy import platform, sgx, tcb, tdx, times
from strongroom.attestation.policy.codes import PolicyCode
from strongroom.attestation.policy.model import Policy
from strongroom.attestation.policy.outcome import Case, Check, Decision
from strongroom.attestation.quote import Tee
from strongroom.attestation.validity import require_zone
from strongroom.attestation.verdict import Verdict

_SGX = (sgx.attributes, sgx.compared_bits, sgx.fields_nobody_measured, sgx.identity)
_TDX = (tdx.attributes, tdx.fields_nobody_measured, tdx.identity)


def appraise(subject: Verdict | Claims, policy: Policy, *, at: datetime, binding: Binding | None = None) -> Decision:
    """Return whether a policy accepts what evidence says at the time `at`, with every check and every reason why not.

    `binding`: what the caller knows the evidence to be bound to; a rule on bindings refuses where there is none.
    """
    require_zone(at)
    claims = claims_of(subject) if isinstance(subject, Verdict) else subject
    case = Case(claims=claims, policy=policy, at=at, binding=binding)
    rules = (
        _trust_domain,
        platform.denied,
        times.window,
        times.ages,
        _tee,
        *_body_rules(claims.tee, policy.tee),
        tcb.status,
        tcb.levels,
        tcb.advisories,
        platform.enrolled,
        platform.kind,
        _report_data,
    )
    return Decision.of_checks(check for rule in rules for check in rule(case))


def _body_rules(seen: Tee | None, wanted: Tee) -> tuple[Callable[[Case], Iterator[Check]], ...]:
    """Return the rules on the program; none where the kind of TEE is another, which `_tee` refuses already."""
    if seen is not None and seen is not wanted:
        return ()
    return _SGX if wanted is Tee.SGX else _TDX


def _trust_domain(case: Case) -> Iterator[Check]:
    seen, wanted = case.claims.trust_domain, case.policy.trust_domains
    simulated = seen is TrustDomain.SIMULATED
    yield case.check(
        PolicyCode.SIMULATED_EVIDENCE if simulated else PolicyCode.TRUST_DOMAIN,
        "trust_domains",
        seen in wanted,
        seen,
        wanted,
        "Run on real SGX or TDX hardware, or, for development only, name the domain in trust_domains."
        if simulated
        else "Name the domain in trust_domains if this platform is meant.",
    )


def _tee(case: Case) -> Iterator[Check]:
    seen, wanted = case.claims.tee, case.policy.tee
    word = "mrenclave" if wanted is Tee.SGX else "mrtd"
    yield case.check(PolicyCode.TEE, word, None if seen is None else seen is wanted, seen, wanted,
                     "Write a rule for this kind of TEE if the program is meant to run there.")  # fmt: skip


def _report_data(case: Case) -> Iterator[Check]:
    """The 64 bytes that the evidence carries: exactly those named, and bound in one of the ways named."""
    seen, policy = case.claims.report_data, case.policy
    if policy.report_data is not None:
        yield case.check(PolicyCode.REPORT_DATA, "report_data", None if seen is None else seen == policy.report_data,
                         seen, policy.report_data, "Have the program quote for exactly these bytes.")  # fmt: skip
    if policy.bindings is not None:
        bound = case.binding
        holds = None if bound is None or seen is None else bound.kind in policy.bindings and bound.holds_for(seen)
        observed = (
            "nothing"
            if bound is None
            else f"{bound.kind}, {'bound' if seen and bound.holds_for(seen) else 'not bound'}"
        )
        yield case.check(PolicyCode.BINDING, "bindings", holds, observed, policy.bindings,
                         "Attest in a protocol that binds the evidence in this way.")  # fmt: skip
