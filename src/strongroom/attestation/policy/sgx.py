"""Rules on an SGX enclave: attributes, what no measurement covers, and which program it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from strongroom.attestation.policy.codes import PolicyCode
from strongroom.attestation.policy.contradictions import KSS_FIELDS
from strongroom.attestation.policy.masks import matches, wanted
from strongroom.attestation.policy.outcome import Case, Check
from strongroom.attestation.report import Attributes

_REBUILD: Final = "Build and sign the enclave as the policy says, or add a rule for this one after reviewing it."

# Plain numbers: to ask an `Attributes` for a flag takes ten times as long.
_SET: Final = (
    (int(Attributes.INIT), "INIT", PolicyCode.INIT),
    (int(Attributes.MODE64BIT), "MODE64BIT", PolicyCode.MODE64),
)
_KEYS: Final = (
    (int(Attributes.PROVISION_KEY), "PROVISION_KEY", PolicyCode.PROVISION_KEY, "allow_provision_key",
     "Rebuild without access to the provisioning key."),
    (int(Attributes.EINITTOKEN_KEY), "EINITTOKEN_KEY", PolicyCode.EINITTOKEN_KEY, "allow_einittoken_key",
     "Rebuild without access to the launch token key."),
)  # fmt: skip


def attributes(case: Case) -> Iterator[Check]:
    """SGX sanity, always: INIT and MODE64 set; DEBUG and the two launch keys clear unless allowed."""
    claims, policy = case.claims, case.policy
    flags = None if claims.attributes is None else int.from_bytes(claims.attributes, "little")
    for flag, name, code in _SET:
        seen = None if flags is None else bool(flags & flag)
        yield case.check(code, "attributes", seen, f"{name} {'set' if seen else 'clear'}", f"{name} set",
                         "Have the operator start the enclave as a 64-bit production enclave.")  # fmt: skip
    yield debug(case, "Rebuild with sgx.debug = false; the host can read the memory of a debug enclave.")
    for flag, name, code, rule, fix in _KEYS:
        seen = None if flags is None else bool(flags & flag)
        yield cleared(case, code, rule, name, seen, getattr(policy, rule), fix)


def debug(case: Case, fix: str) -> Check:
    """The host may not read the program's memory, unless allowed by name."""
    seen = case.claims.debug
    return cleared(case, PolicyCode.DEBUG, "allow_debug", "DEBUG", seen, case.policy.allow_debug, fix)


def cleared(  # noqa: PLR0917  # as `Case.check`
    case: Case, code: PolicyCode, rule: str, flag: str | None, seen: bool | None, allowed: bool, fix: str
) -> Check:
    """A flag that must be clear; where it is allowed, every state passes, the unknown one too."""
    holds = True if allowed else None if seen is None else not seen
    state = "unknown" if seen is None else "set" if seen else "clear"
    return case.check(code, rule, holds, f"{flag} {state}", f"{flag} {'set or clear' if allowed else 'clear'}", fix)


def compared_bits(case: Case) -> Iterator[Check]:
    """Attribute flags, XFRM and MISCSELECT, where the policy sets them."""
    claims, policy = case.claims, case.policy
    misc_select = None if claims.misc_select is None else claims.misc_select.to_bytes(4, "little")
    rows = (
        (PolicyCode.ATTRIBUTES, "attributes", claims.attributes, policy.attributes, policy.attributes_mask),
        (PolicyCode.XFRM, "xfrm", claims.xfrm, policy.xfrm, policy.xfrm_mask),
        (PolicyCode.MISCSELECT, "miscselect", misc_select, policy.miscselect, policy.miscselect_mask),
    )
    for code, rule, seen, value, mask in rows:
        if value is not None:
            yield case.check(code, rule, matches(seen, value, mask), seen, wanted(value, mask),
                             f"Build the enclave with this {rule}, or change the rule after reviewing it.")  # fmt: skip


def fields_nobody_measured(case: Case) -> Iterator[Check]:
    """Fields that MRENCLAVE does not cover: compared when the policy sets them, else they must be zero."""
    claims, kss = case.claims, case.policy.kss
    seen = claims.reserved_clear
    yield case.check(PolicyCode.RESERVED, "reserved", seen, "all zero" if seen else "reserved bytes set", "all zero",
                     "Use a release of Strongroom that knows what these bytes mean.")  # fmt: skip
    for name in KSS_FIELDS:
        found = getattr(claims, name)
        if kss is None:
            holds = None if found is None else not any(_octets(found))
            yield case.check(PolicyCode.KSS, name, holds, found, "zero, since the policy does not set it",
                             f"Set {name} in the policy if the enclave is meant to run with one.")  # fmt: skip
        else:
            value = getattr(kss, name)
            yield case.check(PolicyCode.KSS, name, None if found is None else found == value, found, value,
                             f"Start the enclave with this {name}.")  # fmt: skip


def identity(case: Case) -> Iterator[Check]:
    """The measurement, or the signer with a product and a least security version."""
    claims, policy = case.claims, case.policy
    if policy.mrenclave is not None:
        yield _equal(case, PolicyCode.MRENCLAVE, "mrenclave", claims.mr_enclave, policy.mrenclave)
        return
    yield _equal(case, PolicyCode.MRSIGNER, "mrsigner", claims.mr_signer, policy.mrsigner)
    yield _equal(case, PolicyCode.ISVPRODID, "isvprodid", claims.isv_prod_id, policy.isvprodid)
    seen, least = claims.isv_svn, policy.min_isvsvn
    holds = None if seen is None or least is None else seen >= least
    yield case.check(PolicyCode.ISVSVN, "min_isvsvn", holds, seen, f"at least {least}", _REBUILD)


def _equal(case: Case, code: PolicyCode, rule: str, seen: object, value: object) -> Check:
    return case.check(code, rule, None if seen is None else seen == value, seen, value, _REBUILD)


def _octets(value: bytes | int) -> bytes:
    return value if isinstance(value, bytes) else value.to_bytes(2, "little")
