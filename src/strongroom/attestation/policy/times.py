"""Rules on time: whether the verdict counts now, how old its collateral is, and how old the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from strongroom.attestation.claims import Claims
from strongroom.attestation.policy.codes import PolicyCode
from strongroom.attestation.policy.model import DEFAULT_MAX_EVIDENCE_AGE, Policy
from strongroom.attestation.policy.outcome import Case, Check, shown


def window(case: Case) -> Iterator[Check]:
    """The verdict counts at this time, or its collateral expired within the grace that this rule gives."""
    claims, at = case.claims, case.at
    if claims.not_before is None or claims.not_after is None:
        holds = None
    else:
        holds = claims.not_before <= at <= claims.not_after + _grace(case)
    yield case.check(PolicyCode.EXPIRED, "validity", holds, at, partial(_span, claims, case.policy),
                     "Verify again with fresh collateral.")  # fmt: skip


def _span(claims: Claims, policy: Policy) -> str:
    if claims.not_before is None or claims.not_after is None:
        return "a known span of time"
    span = f"{shown(claims.not_before)} to {shown(claims.not_after)}"
    return span + (f", collateral with a grace of {shown(policy.collateral_grace)}" if policy.collateral_grace else "")


def _at_most(span: timedelta) -> str:
    return f"at most {shown(span)}"


def _grace(case: Case) -> timedelta:
    """Return the grace that counts. Certificates of the PCK chain have none: only the verifier can tell what expired,
    so a grace counts where it found so at this very time."""
    claims = case.claims
    return case.policy.collateral_grace if claims.in_grace and claims.judged_at == case.at else timedelta(0)


def ages(case: Case) -> Iterator[Check]:
    """Collateral ages faster than it expires; evidence that says its time ages too."""
    claims, policy, at = case.claims, case.policy, case.at
    age = None if claims.collateral_issued is None else at - claims.collateral_issued
    yield case.check(PolicyCode.COLLATERAL_TOO_OLD, "max_collateral_age_days",
                     None if age is None else age <= policy.max_collateral_age, age,
                     partial(_at_most, policy.max_collateral_age),
                     "Fetch fresh collateral, or allow older one in the policy.")  # fmt: skip
    most = policy.max_evidence_age or DEFAULT_MAX_EVIDENCE_AGE
    since = None if claims.evidence_time is None else at - claims.evidence_time
    yield case.check(PolicyCode.EVIDENCE_AGE, "max_evidence_age_seconds", None if since is None else since <= most,
                     since, partial(_at_most, most), "Attest again and hand the evidence over at once.",
                     required=policy.max_evidence_age is not None)  # fmt: skip
