"""Turn a verdict into a decision: what a key owner allows, rule by rule, with reasons (specification section 8).

Pure and denying by default: a policy names one enclave, and every weakening has to be spelled out. A decision lists
all reasons, the simulated platform's first; the owner sees them, a peer never does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NoReturn

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.report import Attributes
from strongroom.attestation.status import TcbStatus
from strongroom.attestation.validity import require_zone, timestamp
from strongroom.attestation.verdict import Verdict
from strongroom.errors import BadInput

DEFAULT_MAX_COLLATERAL_AGE: Final = timedelta(days=7)
_MEASUREMENT_BYTES: Final = 32
_MAX_U16: Final = 0xFFFF
_HARDENING: Final = frozenset({TcbStatus.SW_HARDENING_NEEDED, TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED})


class PolicyUnusable(BadInput):
    """A policy contradicts itself, or is so wide that it decides nothing."""

    code = "SR-POLICY-UNUSABLE"
    fix = "Name one enclave, the statuses and advisories you accept, and the trust domains, without contradiction."


class PolicyCode(StrEnum):
    """Why a sound verdict is not accepted: one code for each rule."""

    SIMULATED_EVIDENCE = "SIMULATED_EVIDENCE"
    TRUST_DOMAIN = "POLICY_TRUST_DOMAIN"
    EXPIRED = "POLICY_EXPIRED"
    COLLATERAL_TOO_OLD = "COLLATERAL_TOO_OLD"
    DEBUG = "POLICY_DEBUG"
    INIT = "POLICY_INIT"
    MODE64 = "POLICY_MODE64"
    PROVISION_KEY = "POLICY_PROVISION_KEY"
    EINITTOKEN_KEY = "POLICY_EINITTOKEN_KEY"
    RESERVED = "POLICY_RESERVED"
    KSS = "POLICY_KSS"
    MRENCLAVE = "POLICY_MRENCLAVE"
    MRSIGNER = "POLICY_MRSIGNER"
    ISVPRODID = "POLICY_ISVPRODID"
    ISVSVN = "POLICY_ISVSVN"
    TCB_STATUS = "POLICY_TCB_STATUS"
    ADVISORY_REJECTED = "POLICY_ADVISORY_REJECTED"
    ADVISORY_NOT_ACCEPTED = "POLICY_ADVISORY_NOT_ACCEPTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class KssFields:
    """Exact values of the key separation and sharing fields, which MRENCLAVE does not cover."""

    config_id: bytes  # 64 bytes
    config_svn: int
    isv_ext_prod_id: bytes  # 16 bytes
    isv_family_id: bytes  # 16 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one rule accepts. Either `mrenclave`, or `mrsigner` with `isvprodid` and `min_isvsvn`; the others are None.

    Revoked is never accepted. Advisories of an accepted verdict must all be in `accepted_advisory_ids`. The fields
    with a default are the strictest choice: fields of the report that no rule speaks of must be zero or clear.
    """

    name: str
    mrenclave: bytes | None  # 32 bytes
    mrsigner: bytes | None  # 32 bytes
    isvprodid: int | None
    min_isvsvn: int | None
    accepted_tcb_status: frozenset[TcbStatus]
    accepted_advisory_ids: frozenset[str]
    rejected_advisory_ids: frozenset[str]
    allow_debug: bool
    trust_domains: frozenset[TrustDomain]
    max_collateral_age: timedelta
    kss: KssFields | None = None
    allow_provision_key: bool = False
    allow_einittoken_key: bool = False

    def __post_init__(self) -> None:
        for sentence in _contradictions(self):
            raise PolicyUnusable(f"policy {self.name[:64]!r}: {sentence}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One rule that a verdict does not meet: what was seen, what the policy wants, what the owner can do."""

    code: str  # a PolicyCode, or a caller's own
    rule: str
    observed: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of one policy on one verdict. Ask `accepted`: the object itself has no truth value."""

    accepted: bool
    reasons: tuple[Reason, ...]

    def __bool__(self) -> NoReturn:
        raise TypeError("ask the decision's `accepted`")


def appraise(verdict: Verdict, policy: Policy, *, at: datetime) -> Decision:
    """Return whether a policy accepts a verdict at the time `at`, with every reason why not."""
    require_zone(at)
    rules = (
        _trust_domain(verdict, policy),
        _time(verdict, policy, at),
        _attributes(verdict, policy),
        _fields_nobody_measured(verdict, policy),
        _identity(verdict, policy),
        _tcb(verdict, policy),
    )
    reasons = tuple(reason for rule in rules for reason in rule)
    return Decision(accepted=not reasons, reasons=reasons)


def _reason(code: PolicyCode, rule: str, observed: object, expected: object, fix: str) -> Reason:
    return Reason(code=code, rule=rule, observed=_shown(observed), expected=_shown(expected), fix=fix)


def _trust_domain(verdict: Verdict, policy: Policy) -> Iterator[Reason]:
    if verdict.trust_domain in policy.trust_domains:
        return
    simulated = verdict.trust_domain is TrustDomain.SIMULATED
    yield _reason(
        PolicyCode.SIMULATED_EVIDENCE if simulated else PolicyCode.TRUST_DOMAIN,
        "trust_domains",
        verdict.trust_domain,
        policy.trust_domains,
        "Run on real SGX hardware, or, for development only, name the domain in trust_domains."
        if simulated
        else "Name the domain in trust_domains if this platform is meant.",
    )


def _time(verdict: Verdict, policy: Policy, at: datetime) -> Iterator[Reason]:
    if not verdict.latest_issue <= at <= verdict.earliest_expiration:
        window = f"{timestamp(verdict.latest_issue)} to {timestamp(verdict.earliest_expiration)}"
        yield _reason(PolicyCode.EXPIRED, "validity", timestamp(at), window, "Verify again with fresh collateral.")
    age = at - verdict.collateral_issued
    if age > policy.max_collateral_age:
        yield _reason(PolicyCode.COLLATERAL_TOO_OLD, "max_collateral_age", age, f"at most {policy.max_collateral_age}",
                      "Fetch fresh collateral, or allow older one in the policy.")  # fmt: skip


def _attributes(verdict: Verdict, policy: Policy) -> Iterator[Reason]:
    """SGX sanity, always: INIT and MODE64 set; DEBUG and the two launch keys clear unless allowed."""
    flags = verdict.body.flags
    must_be_set = ((Attributes.INIT, PolicyCode.INIT), (Attributes.MODE64BIT, PolicyCode.MODE64))
    for flag, code in must_be_set:
        if flag not in flags:
            yield _reason(code, "attributes", f"{flag.name} clear", f"{flag.name} set",
                          "Have the operator start the enclave as a 64-bit production enclave.")  # fmt: skip
    must_be_clear = (
        (Attributes.DEBUG, PolicyCode.DEBUG, policy.allow_debug, "allow_debug",
         "Rebuild with sgx.debug = false; the host can read the memory of a debug enclave."),
        (Attributes.PROVISION_KEY, PolicyCode.PROVISION_KEY, policy.allow_provision_key, "allow_provision_key",
         "Rebuild without access to the provisioning key."),
        (Attributes.EINITTOKEN_KEY, PolicyCode.EINITTOKEN_KEY, policy.allow_einittoken_key, "allow_einittoken_key",
         "Rebuild without access to the launch token key."),
    )  # fmt: skip
    for flag, code, allowed, rule, fix in must_be_clear:
        if flag in flags and not allowed:
            yield _reason(code, rule, f"{flag.name} set", f"{flag.name} clear", fix)


def _fields_nobody_measured(verdict: Verdict, policy: Policy) -> Iterator[Reason]:
    """Fields that MRENCLAVE does not cover: compared when the policy sets them, else they must be zero."""
    body = verdict.body
    if not body.reserved_clear:
        yield _reason(PolicyCode.RESERVED, "reserved", "reserved bytes set", "all zero",
                      "Use a release of Strongroom that knows what these bytes mean.")  # fmt: skip
    if policy.kss is None:
        for name in body.kss_fields_set:
            yield _reason(PolicyCode.KSS, name, getattr(body, name), "zero, since the policy does not set it",
                          f"Set kss in the policy if the enclave is meant to run with a {name}.")  # fmt: skip
        return
    for name in KssFields.__slots__:
        seen, wanted = getattr(body, name), getattr(policy.kss, name)
        if seen != wanted:
            yield _reason(PolicyCode.KSS, name, seen, wanted, f"Start the enclave with this {name}.")


def _identity(verdict: Verdict, policy: Policy) -> Iterator[Reason]:
    body = verdict.body
    rebuild = "Build and sign the enclave as the policy says, or add a rule for this one after reviewing it."
    if policy.mrenclave is not None:
        if body.mr_enclave != policy.mrenclave:
            yield _reason(PolicyCode.MRENCLAVE, "mrenclave", body.mr_enclave, policy.mrenclave, rebuild)
        return
    if body.mr_signer != policy.mrsigner:
        yield _reason(PolicyCode.MRSIGNER, "mrsigner", body.mr_signer, policy.mrsigner, rebuild)
    if body.isv_prod_id != policy.isvprodid:
        yield _reason(PolicyCode.ISVPRODID, "isvprodid", body.isv_prod_id, policy.isvprodid, rebuild)
    if policy.min_isvsvn is None or body.isv_svn < policy.min_isvsvn:
        yield _reason(PolicyCode.ISVSVN, "min_isvsvn", body.isv_svn, f"at least {policy.min_isvsvn}", rebuild)


def _tcb(verdict: Verdict, policy: Policy) -> Iterator[Reason]:
    if verdict.status is TcbStatus.REVOKED or verdict.status not in policy.accepted_tcb_status:
        yield _reason(PolicyCode.TCB_STATUS, "accepted_tcb_status", verdict.status, policy.accepted_tcb_status,
                      "Have the operator update the platform; accept a lesser status only knowingly.")  # fmt: skip
    for advisory in verdict.advisories:
        if advisory in policy.rejected_advisory_ids:
            yield _reason(PolicyCode.ADVISORY_REJECTED, "rejected_advisory_ids", advisory, "absent",
                          "Have the operator install the update that answers this advisory.")  # fmt: skip
        elif advisory not in policy.accepted_advisory_ids:
            yield _reason(PolicyCode.ADVISORY_NOT_ACCEPTED, "accepted_advisory_ids", advisory,
                          policy.accepted_advisory_ids or "no advisory",
                          "Read the advisory; accept it only if the enclave mitigates it.")  # fmt: skip


def _contradictions(policy: Policy) -> Iterator[str]:
    """Yield what makes a policy unusable: a rule that is missing, too wide, or at odds with another."""
    yield from _identity_contradictions(policy)
    if TcbStatus.UP_TO_DATE not in policy.accepted_tcb_status:
        yield "accepted_tcb_status must contain UpToDate"
    if TcbStatus.REVOKED in policy.accepted_tcb_status:
        yield "Revoked cannot be accepted"
    if policy.accepted_tcb_status & _HARDENING and not policy.accepted_advisory_ids:
        yield "accepting SWHardeningNeeded wants the accepted_advisory_ids that the enclave mitigates"
    if policy.accepted_advisory_ids & policy.rejected_advisory_ids:
        yield "an advisory is both accepted and rejected"
    if not policy.trust_domains:
        yield "trust_domains is empty"
    if policy.max_collateral_age <= timedelta(0):
        yield "max_collateral_age is not positive"


def _identity_contradictions(policy: Policy) -> Iterator[str]:
    triple = (policy.mrsigner, policy.isvprodid, policy.min_isvsvn)
    if policy.mrenclave is not None:
        if any(value is not None for value in triple):
            yield "mrenclave stands alone; drop it or mrsigner, isvprodid and min_isvsvn"
    elif any(value is None for value in triple):
        yield "it must name mrenclave, or mrsigner together with isvprodid and min_isvsvn"
    for name, value in (("mrenclave", policy.mrenclave), ("mrsigner", policy.mrsigner)):
        if value is not None and (len(value) != _MEASUREMENT_BYTES or not any(value)):
            yield f"{name} is not a measurement of 32 bytes"
    for name, number in (("isvprodid", policy.isvprodid), ("min_isvsvn", policy.min_isvsvn)):
        if number is not None and not 0 <= number <= _MAX_U16:
            yield f"{name} is not a number of 16 bits"


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, frozenset):
        return " or ".join(sorted(map(str, value)))
    return str(value)
