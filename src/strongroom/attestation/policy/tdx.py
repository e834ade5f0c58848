"""Rules on a trust domain (TDX): its registers, its attributes, its owner's fields and its service TD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from strongroom.attestation.policy.codes import PolicyCode
from strongroom.attestation.policy.contradictions import TD_OWNER_FIELDS
from strongroom.attestation.policy.masks import matches, wanted
from strongroom.attestation.policy.outcome import Case, Check
from strongroom.attestation.policy.sgx import cleared, debug
from strongroom.attestation.td_report import TdAttributes

_KNOWN: Final = (
    TdAttributes.DEBUG | TdAttributes.SEPT_VE_DISABLE | TdAttributes.MIGRATABLE | TdAttributes.PKS | TdAttributes.KL
    | TdAttributes.PERFMON
)  # fmt: skip
_OPTIONAL: Final = (
    (TdAttributes.PKS, PolicyCode.PKS, "allow_pks"),
    (TdAttributes.KL, PolicyCode.KL, "allow_kl"),
    (TdAttributes.PERFMON, PolicyCode.PERFMON, "allow_perfmon"),
    (TdAttributes.MIGRATABLE, PolicyCode.MIGRATABLE, "allow_migratable"),
)
_REBUILD: Final = "Start the trust domain as the policy says, or add a rule for this one after reviewing it."


def attributes(case: Case) -> Iterator[Check]:
    """DEBUG clear, SEPT_VE_DISABLE set, optional features only where allowed, and no bit that nobody knows."""
    claims, policy = case.claims, case.policy
    raw = None if claims.td_attributes is None else int.from_bytes(claims.td_attributes, "little")
    flags = None if raw is None else TdAttributes(raw)
    yield debug(case, "Start the trust domain without debug; the host can read the memory of a debug one.")
    unknown_bits = None if raw is None else raw & ~int(_KNOWN)
    yield case.check(PolicyCode.RESERVED, "reserved", None if unknown_bits is None else not unknown_bits,
                     f"bits {unknown_bits or 0:#x}", "no attribute bit that this release does not know",
                     "Use a release of Strongroom that knows what these bits mean.")  # fmt: skip
    disabled = None if flags is None else TdAttributes.SEPT_VE_DISABLE in flags
    holds = disabled if policy.require_sept_ve_disable else True
    state = "unknown" if disabled is None else "set" if disabled else "clear"
    yield case.check(PolicyCode.SEPT_VE_DISABLE, "require_sept_ve_disable", holds, f"SEPT_VE_DISABLE {state}",
                     f"SEPT_VE_DISABLE {'set' if policy.require_sept_ve_disable else 'set or clear'}",
                     "Start the trust domain with SEPT_VE_DISABLE: without it the host can inject exceptions.",
                     )  # fmt: skip
    for flag, code, rule in _OPTIONAL:
        seen = None if flags is None else flag in flags
        yield cleared(case, code, rule, flag.name, seen, getattr(policy, rule),
                      f"Start the trust domain without {flag.name}, or allow it by name.")  # fmt: skip
    rows = (
        (PolicyCode.TD_ATTRIBUTES, "td_attributes", policy.td_attributes, policy.td_attributes_mask),
        (PolicyCode.XFAM, "xfam", policy.xfam, policy.xfam_mask),
    )
    for code, rule, value, mask in rows:
        if value is not None:
            found = getattr(claims, rule)
            yield case.check(code, rule, matches(found, value, mask), found, wanted(value, mask), _REBUILD)


def fields_nobody_measured(case: Case) -> Iterator[Check]:
    """Values that the host gives and MRTD does not cover: compared when the policy sets them, else zero."""
    claims, policy = case.claims, case.policy
    for name in TD_OWNER_FIELDS:
        seen, value = getattr(claims, name), getattr(policy, name)
        holds = None if seen is None else seen == (bytes(48) if value is None else value)
        expected = "zero, since the policy does not set it" if value is None else value
        yield case.check(PolicyCode(f"POLICY_{name.upper()}"), name, holds, seen, expected,
                         f"Set {name} in the policy if the trust domain is meant to run with it.")  # fmt: skip
    seen = claims.mr_service_td
    holds = True if policy.allow_service_td else None if seen is None else not any(seen)
    yield case.check(PolicyCode.SERVICE_TD, "allow_service_td", holds, "unknown" if seen is None else seen,
                     "any service TD" if policy.allow_service_td else "zero: no service TD",
                     "Start the trust domain without a service TD, or allow it by name.")  # fmt: skip


def identity(case: Case) -> Iterator[Check]:
    """MRTD, and each register and module measurement that the policy sets."""
    rows = (
        (PolicyCode.MRTD, "mrtd", case.claims.mr_td),
        (PolicyCode.RTMR0, "rtmr0", case.claims.rtmr0),
        (PolicyCode.RTMR1, "rtmr1", case.claims.rtmr1),
        (PolicyCode.RTMR2, "rtmr2", case.claims.rtmr2),
        (PolicyCode.RTMR3, "rtmr3", case.claims.rtmr3),
        (PolicyCode.MR_SEAM, "mr_seam", case.claims.mr_seam),
        (PolicyCode.MR_SIGNER_SEAM, "mr_signer_seam", case.claims.mr_signer_seam),
    )
    for code, rule, seen in rows:
        value = getattr(case.policy, rule)
        if value is not None:
            yield case.check(code, rule, None if seen is None else seen == value, seen, value, _REBUILD)
