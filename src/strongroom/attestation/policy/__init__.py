"""Policy: what is accepted, in Intel's appraisal vocabulary and ours (specification section 8).

`model` says what a policy is, `contradictions` which cannot exist, the rules are grouped by what they look at, and
`appraise` asks them all. `compare` says of two policies which one admits more.
"""

from strongroom.attestation.policy.appraise import appraise
from strongroom.attestation.policy.codes import PolicyCode
from strongroom.attestation.policy.contradictions import production_problems
from strongroom.attestation.policy.model import (
    DEFAULT_MAX_COLLATERAL_AGE,
    DEFAULT_MAX_EVIDENCE_AGE,
    EnrolledPlatform,
    KssFields,
    Policy,
    PolicyUnusable,
)
from strongroom.attestation.policy.outcome import Check, Decision, Reason
from strongroom.attestation.steps import Outcome

__all__ = [
    "DEFAULT_MAX_COLLATERAL_AGE",
    "DEFAULT_MAX_EVIDENCE_AGE",
    "Check",
    "Decision",
    "EnrolledPlatform",
    "KssFields",
    "Outcome",
    "Policy",
    "PolicyCode",
    "PolicyUnusable",
    "Reason",
    "appraise",
    "production_problems",
]
