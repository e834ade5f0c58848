"""Rules on how current a platform is: status, advisories, evaluation number, level date, and the platform's grace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from strongroom.attestation.policy.codes import PolicyCode
from strongroom.attestation.policy.outcome import Case, Check, shown
from strongroom.attestation.status import TcbStatus

# Statuses to which platform_grace_period applies; the specification excludes all others.
OUTDATED: Final = frozenset({TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED})


def status(case: Case) -> Iterator[Check]:
    """The status is one that the policy names; Revoked never is."""
    claims, policy = case.claims, case.policy
    seen = claims.tcb_status
    holds = None if seen is None else seen is not TcbStatus.REVOKED and seen in policy.accepted_tcb_status
    yield case.check(PolicyCode.TCB_STATUS, "accepted_tcb_status", holds, seen, policy.accepted_tcb_status,
                     "Have the operator update the platform; accept a lesser status only knowingly.")  # fmt: skip
    if policy.platform_grace is not None and seen in OUTDATED:
        date = claims.tcb_date
        holds = None if date is None else case.at <= date + policy.platform_grace
        yield case.check(PolicyCode.PLATFORM_GRACE, "platform_grace_period_seconds", holds, date,
                         f"a level not older than {shown(policy.platform_grace)}",
                         "Have the operator update the platform: its time to do so is over.")  # fmt: skip


def levels(case: Case) -> Iterator[Check]:
    """The reference data are recent enough, and so is the level that the platform reached."""
    claims, policy = case.claims, case.policy
    if policy.min_eval_num is not None:
        number = claims.tcb_eval_ref_num
        yield case.check(PolicyCode.EVAL_NUM, "min_eval_num", None if number is None else number >= policy.min_eval_num,
                         number, f"at least {policy.min_eval_num}",
                         "Fetch collateral of a later TCB evaluation.")  # fmt: skip
    if policy.min_tcb_level_date is not None:
        date = claims.tcb_date
        yield case.check(PolicyCode.TCB_LEVEL_DATE, "min_tcb_level_date",
                         None if date is None else date >= policy.min_tcb_level_date, date,
                         f"{policy.min_tcb_level_date:%Y-%m-%d} or later",
                         "Have the operator update the platform to a later level.")  # fmt: skip


def advisories(case: Case) -> Iterator[Check]:
    """Every advisory of the platform, its TDX module and its quoting enclave is accepted, and none rejected."""
    policy = case.policy
    expected = policy.accepted_advisory_ids or "no advisory"
    if not case.claims.advisories:
        holds = None if case.claims.advisories is None else True
        yield case.check(PolicyCode.ADVISORY_NOT_ACCEPTED, "accepted_advisory_ids", holds, "no advisory", expected,
                         "Use evidence that lists the advisories of its platform.")  # fmt: skip
        return
    for advisory in case.claims.advisories:
        if advisory in policy.rejected_advisory_ids:
            yield case.check(PolicyCode.ADVISORY_REJECTED, "rejected_advisory_ids", False, advisory, "absent",
                             "Have the operator install the update that answers this advisory.")  # fmt: skip
        else:
            yield case.check(PolicyCode.ADVISORY_NOT_ACCEPTED, "accepted_advisory_ids",
                             advisory in policy.accepted_advisory_ids, advisory, expected,
                             "Read the advisory; accept it only if the enclave mitigates it.")  # fmt: skip
