"""What makes a policy unusable: a rule that is missing, too wide, or at odds with another. Each is one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.report import Attributes
from strongroom.attestation.status import TcbStatus
from strongroom.attestation.td_report import TdAttributes

if TYPE_CHECKING:
    from strongroom.attestation.policy.model import Policy

MEASUREMENT_BYTES: Final = 32
TD_MEASUREMENT_BYTES: Final = 48
PLATFORM_ID_BYTES: Final = 16
ATTESTATION_KEY_BYTES: Final = 64
ROOT_KEY_ID_BYTES: Final = 48
MAX_U16: Final = 0xFFFF
FMSPC: Final = re.compile(r"[0-9A-F]{12}", re.ASCII)
SGX_TYPES: Final = frozenset({0, 1, 2})
MASKED: Final = {"attributes": 8, "xfrm": 8, "miscselect": 4, "xfam": 8, "td_attributes": 8}  # bytes
PLATFORM_FLAGS: Final = ("allow_dynamic_platform", "allow_cached_keys", "allow_smt_enabled")
DENY_LISTS: Final = ("denied_platforms", "denied_fmspc", "denied_pck_serials", "denied_attestation_keys",
                     "denied_roots")  # fmt: skip
KSS_FIELDS: Final = ("config_id", "config_svn", "isv_ext_prod_id", "isv_family_id")
TD_OWNER_FIELDS: Final = ("mr_config_id", "mr_owner", "mr_owner_config")
TD_SWITCHES: Final = ("allow_service_td", "allow_pks", "allow_kl", "allow_perfmon", "allow_migratable")
MAY_STAY_UNKNOWN: Final = frozenset(
    {"attributes", "allow_provision_key", "allow_einittoken_key", "reserved", *KSS_FIELDS, *TD_OWNER_FIELDS,
     *TD_SWITCHES, "require_sept_ve_disable", "accepted_tcb_status", "accepted_advisory_ids", "max_collateral_age_days"}
)  # fmt: skip
_HARDENING: Final = frozenset({TcbStatus.SW_HARDENING_NEEDED, TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED})
_TD_VALUES: Final = ("rtmr0", "rtmr1", "rtmr2", "rtmr3", *TD_OWNER_FIELDS, "mr_seam", "mr_signer_seam")
_SGX_WORDS: Final = ("kss", "attributes", "xfrm", "miscselect")


def contradictions(policy: Policy) -> Iterator[str]:
    """Yield what makes a policy unusable."""
    yield from _identity(policy)
    yield from _trust_domain_values(policy)
    yield from _masks(policy)
    yield from _tcb(policy)
    yield from _times(policy)
    yield from _platform(policy)
    yield from _third_state(policy)
    if not policy.trust_domains:
        yield "trust_domains is empty"
    if policy.bindings is not None and not policy.bindings:
        yield "bindings is empty, so nothing could fulfil it"
    if policy.report_data is not None and len(policy.report_data) != 64:  # as in the report
        yield "report_data has not 64 bytes"


def production_problems(policy: Policy, *, hardened: bool = False) -> Iterator[str]:
    """Yield what a production profile cannot allow; the hardened one wants known platforms besides."""
    if TrustDomain.SIMULATED in policy.trust_domains:
        yield "trust_domains names simulated, which the production profile refuses"
    for word in ("allow_debug", "allow_provision_key", "allow_einittoken_key"):
        if getattr(policy, word):
            yield f"{word} is impossible in the production profile"
    if hardened and policy.platforms is None:
        yield "platforms is missing, which the hardened profile requires"


def _identity(policy: Policy) -> Iterator[str]:
    triple = (policy.mrsigner, policy.isvprodid, policy.min_isvsvn)
    if policy.mrtd is not None:
        if policy.mrenclave is not None or any(value is not None for value in triple):
            yield "mrtd stands for TDX; drop it or the words of an SGX enclave"
    elif policy.mrenclave is not None:
        if any(value is not None for value in triple):
            yield "mrenclave stands alone; drop it or mrsigner, isvprodid and min_isvsvn"
    elif any(value is None for value in triple):
        yield "it must name mrenclave, or mrsigner together with isvprodid and min_isvsvn, or mrtd"
    yield from _values(policy)


def _values(policy: Policy) -> Iterator[str]:
    for name, value in (("mrenclave", policy.mrenclave), ("mrsigner", policy.mrsigner)):
        if value is not None and (len(value) != MEASUREMENT_BYTES or not any(value)):
            yield f"{name} is not a measurement of 32 bytes"
    for name, number in (("isvprodid", policy.isvprodid), ("min_isvsvn", policy.min_isvsvn)):
        if number is not None and not 0 <= number <= MAX_U16:
            yield f"{name} is not a number of 16 bits"
    if policy.kss is not None:
        yield from _kss(policy)


def _kss(policy: Policy) -> Iterator[str]:
    kss = policy.kss
    sizes = {"config_id": 64, "isv_ext_prod_id": 16, "isv_family_id": 16}
    for name, size in sizes.items():
        if len(getattr(kss, name)) != size:
            yield f"{name} has not {size} bytes"
    if kss is not None and not 0 <= kss.config_svn <= MAX_U16:
        yield "config_svn is not a number of 16 bits"


def _trust_domain_values(policy: Policy) -> Iterator[str]:
    if policy.mrtd is None:
        words = (*_TD_VALUES, "xfam", "td_attributes")
        set_words = [word for word in words if getattr(policy, word) is not None]
        set_words += [word for word in TD_SWITCHES if getattr(policy, word)]
        set_words += [] if policy.require_sept_ve_disable else ["require_sept_ve_disable"]
        if set_words:
            yield f"{set_words[0]} is for TDX, and the rule names no mrtd"
        return
    if len(policy.mrtd) != TD_MEASUREMENT_BYTES or not any(policy.mrtd):
        yield "mrtd is not a measurement of 48 bytes"
    for word in _TD_VALUES:
        value = getattr(policy, word)
        if value is not None and len(value) != TD_MEASUREMENT_BYTES:
            yield f"{word} has not 48 bytes"
    if not _covers_what_runs(policy):
        yield (
            "mrtd covers the firmware only: name rtmr1 too, which covers the kernel that it starts, not all zero unless"
            " rtmr2 is not (any kernel could extend the others as it likes), or a mr_config_id that the firmware checks"
        )
    foreign = [word for word in _SGX_WORDS if getattr(policy, word) is not None]
    foreign += [word for word in ("allow_provision_key", "allow_einittoken_key") if getattr(policy, word)]
    if foreign:
        yield f"{foreign[0]} is for an SGX enclave, and the rule names an mrtd"


def _covers_what_runs(policy: Policy) -> bool:
    """Return whether a rule compares what the firmware measured before anything else ran.

    RTMR0 is about the firmware's configuration. RTMR2 and RTMR3 can be extended by whatever kernel was started, to any
    value that it has seen in another quote, so they say nothing unless RTMR1 says which kernel that was.
    """
    kernel = policy.rtmr1 is not None and (any(policy.rtmr1) or any(policy.rtmr2 or b""))
    return kernel or any(policy.mr_config_id or b"")


def _masks(policy: Policy) -> Iterator[str]:
    for word, size in MASKED.items():
        value, mask = getattr(policy, word), getattr(policy, f"{word}_mask")
        if value is None:
            if mask is not None:
                yield f"{word}_mask is set without {word}"
            continue
        if len(value) != size or (mask is not None and len(mask) != size):
            yield f"{word} and its mask want {size} bytes"
        elif mask is not None and not any(mask):
            yield f"{word}_mask is all zero, so nothing would be compared"
        elif mask is not None and any(bit & ~kept for bit, kept in zip(value, mask, strict=True)):
            yield f"{word} has bits outside its mask"
    yield from _bits_at_odds(policy)


def _bits_at_odds(policy: Policy) -> Iterator[str]:
    """A value of the attributes that another word of the same rule refuses."""
    flags = (("attributes", Attributes.DEBUG, True, "allow_debug"),
             ("attributes", Attributes.PROVISION_KEY, True, "allow_provision_key"),
             ("attributes", Attributes.EINITTOKEN_KEY, True, "allow_einittoken_key"),
             ("td_attributes", TdAttributes.DEBUG, True, "allow_debug"),
             ("td_attributes", TdAttributes.SEPT_VE_DISABLE, False, "require_sept_ve_disable"))  # fmt: skip
    for word, flag, wanted_set, switch in flags:
        value, mask = getattr(policy, word), getattr(policy, f"{word}_mask")
        if value is None:
            continue
        compared = mask is None or int.from_bytes(mask, "little") & flag
        if not compared or bool(int.from_bytes(value, "little") & flag) is not wanted_set:
            continue
        if bool(getattr(policy, switch)) is not wanted_set:
            yield f"{word} wants {flag.name} {'set' if wanted_set else 'clear'}, which {switch} refuses"


def _tcb(policy: Policy) -> Iterator[str]:
    if TcbStatus.UP_TO_DATE not in policy.accepted_tcb_status:
        yield "accepted_tcb_status must contain UpToDate"
    if TcbStatus.REVOKED in policy.accepted_tcb_status:
        yield "Revoked cannot be accepted"
    if policy.accepted_tcb_status & _HARDENING and not policy.accepted_advisory_ids:
        yield "accepting SWHardeningNeeded wants the accepted_advisory_ids that the enclave mitigates"
    if policy.accepted_advisory_ids & policy.rejected_advisory_ids:
        yield "an advisory is both accepted and rejected"
    if policy.min_eval_num is not None and policy.min_eval_num < 0:
        yield "min_eval_num is negative"


def _times(policy: Policy) -> Iterator[str]:
    nothing = timedelta(0)
    if policy.max_collateral_age <= nothing:
        yield "max_collateral_age is not positive"
    if policy.max_evidence_age is not None and policy.max_evidence_age <= nothing:
        yield "max_evidence_age is not positive"
    if policy.collateral_grace < nothing:
        yield "collateral_grace_period is negative"
    if policy.min_eval_num is not None and (policy.collateral_grace or policy.platform_grace is not None):
        yield "min_eval_num excludes collateral_grace_period and platform_grace_period"
    if policy.platform_grace is not None:
        if policy.platform_grace <= nothing:
            yield "platform_grace_period is not positive"
        if TcbStatus.OUT_OF_DATE not in policy.accepted_tcb_status:
            yield "platform_grace_period wants OutOfDate among accepted_tcb_status"
        if policy.collateral_grace:
            yield "platform_grace_period and collateral_grace_period exclude each other"
    if policy.min_tcb_level_date is not None and policy.min_tcb_level_date.utcoffset() is None:
        yield "min_tcb_level_date has no time zone"


def _platform(policy: Policy) -> Iterator[str]:
    for word in ("platforms", "accepted_sgx_types", "accepted_platform_provider_ids"):
        value = getattr(policy, word)
        if value is not None and not value:
            yield f"{word} is empty, so nothing could fulfil it"
    if policy.accepted_sgx_types is not None and not policy.accepted_sgx_types <= SGX_TYPES:
        yield "accepted_sgx_types takes 0, 1 and 2"
    entries = policy.platforms or ()
    ids = [entry.id for entry in entries]
    for identity in (*ids, *policy.denied_platforms):
        if len(identity) != PLATFORM_ID_BYTES or not any(identity):
            yield "a platform's id is not 16 bytes that are not all zero"
    yield from _denied(policy)
    if len(set(ids)) != len(ids):
        yield "platforms names one platform twice"
    if any(entry.until.utcoffset() is None for entry in entries):
        yield "a platform's until has no time zone"


def _denied(policy: Policy) -> Iterator[str]:
    """A deny-list with an entry that nothing can match would let pass what it was meant to stop."""
    if not all(FMSPC.fullmatch(each) for each in policy.denied_fmspc):
        yield "denied_fmspc takes families of 12 hex digits in upper case"
    if not all(serial > 0 for serial in policy.denied_pck_serials):
        yield "denied_pck_serials takes positive numbers"
    for word, size in (("denied_attestation_keys", ATTESTATION_KEY_BYTES), ("denied_roots", ROOT_KEY_ID_BYTES)):
        if any(len(each) != size for each in getattr(policy, word)):
            yield f"{word} takes values of {size} bytes"


def _third_state(policy: Policy) -> Iterator[str]:
    for word in sorted(policy.required):
        if word not in PLATFORM_FLAGS:
            yield f"required takes {', '.join(PLATFORM_FLAGS)}"
        elif getattr(policy, word):
            yield f"{word} is allowed and required to be defined: drop one"
    for word in sorted(policy.accept_unknown):
        if word not in MAY_STAY_UNKNOWN:
            yield f"{word[:64]} cannot stay unknown"
        elif (policy.kss if word in KSS_FIELDS else getattr(policy, word, None)) not in (None, False, True) and (
            word in {"attributes", *KSS_FIELDS, *TD_OWNER_FIELDS}
        ):
            yield f"{word} is compared, so it cannot be in accept_unknown"
