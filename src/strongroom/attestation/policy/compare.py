"""Say of two policies whether one admits nothing that the other refuses, field by field.

Sound, not complete: where every field is covered, whatever NEW accepts OLD accepts too, for any claims at any time. A
field that is not proved covered may still admit nothing more; then a change is called wider that is not, never the
other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from strongroom.attestation.policy import masks
from strongroom.attestation.policy.contradictions import DENY_LISTS, MASKED, PLATFORM_FLAGS, TD_SWITCHES
from strongroom.attestation.policy.model import DEFAULT_MAX_EVIDENCE_AGE, KssFields, Policy
from strongroom.attestation.policy.tcb import OUTDATED

Covers: TypeAlias = Callable[[Policy, Policy], bool]  # (old, new): everything that passes in new passes in old

_NO_KSS: Final = KssFields(config_id=bytes(64), config_svn=0, isv_ext_prod_id=bytes(16), isv_family_id=bytes(16))


def not_covered(old: Policy, new: Policy) -> tuple[str, ...]:
    """Return the fields by which `new` may admit what `old` refuses; none: it admits nothing more."""
    return tuple(field for field, covers in FIELDS.items() if not covers(old, new))


def _exact(field: str, old: Policy, new: Policy) -> bool:
    before = getattr(old, field)
    return before is None or getattr(new, field) == before


def _at_least(field: str, old: Policy, new: Policy) -> bool:
    before, after = getattr(old, field), getattr(new, field)
    return before is None or (after is not None and after >= before)


def _at_most(field: str, old: Policy, new: Policy) -> bool:
    return bool(getattr(new, field) <= getattr(old, field))


def _subset(field: str, old: Policy, new: Policy) -> bool:
    before, after = getattr(old, field), getattr(new, field)
    return before is None or (after is not None and after <= before)


def _superset(field: str, old: Policy, new: Policy) -> bool:
    return bool(getattr(new, field) >= getattr(old, field))


def _allowed(field: str, old: Policy, new: Policy) -> bool:
    return getattr(old, field) or not getattr(new, field)


def _zero_unless_named(field: str, old: Policy, new: Policy) -> bool:
    return (getattr(old, field) or bytes(48)) == (getattr(new, field) or bytes(48))


def _masked(field: str, old: Policy, new: Policy) -> bool:
    pairs = [(getattr(policy, field), getattr(policy, f"{field}_mask")) for policy in (old, new)]
    return masks.covers(*pairs)


def _kss(old: Policy, new: Policy) -> bool:
    return (old.kss or _NO_KSS) == (new.kss or _NO_KSS)


def _sept(old: Policy, new: Policy) -> bool:
    return new.require_sept_ve_disable or not old.require_sept_ve_disable


def _evidence_age(old: Policy, new: Policy) -> bool:
    if old.max_evidence_age is None:
        return new.max_evidence_age is None or new.max_evidence_age <= DEFAULT_MAX_EVIDENCE_AGE
    return new.max_evidence_age is not None and new.max_evidence_age <= old.max_evidence_age


def _platform_grace(old: Policy, new: Policy) -> bool:
    """The grace ends the admission of outdated platforms: a policy that admits none needs none."""
    if old.platform_grace is None or not new.accepted_tcb_status & OUTDATED:
        return True
    return new.platform_grace is not None and new.platform_grace <= old.platform_grace


def _platforms(old: Policy, new: Policy) -> bool:
    if old.platforms is None:
        return True
    until = {entry.id: entry.until for entry in old.platforms}
    return new.platforms is not None and all(
        entry.id in until and entry.until <= until[entry.id] for entry in new.platforms
    )


def _reasons_only(_old: Policy, _new: Policy) -> bool:
    """What is rejected is not accepted either: the list changes what a refusal says, not what is refused."""
    return True


_EXACT: Final = ("mrenclave", "mrsigner", "isvprodid", "mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_seam",
                 "mr_signer_seam", "report_data")  # fmt: skip
_AT_LEAST: Final = ("min_isvsvn", "min_eval_num", "min_tcb_level_date")
_SUBSETS: Final = ("trust_domains", "accepted_tcb_status", "accepted_advisory_ids", "accepted_sgx_types",
                   "accepted_platform_provider_ids", "bindings", "accept_unknown")  # fmt: skip
_SWITCHES: Final = ("allow_debug", "allow_provision_key", "allow_einittoken_key", *TD_SWITCHES, *PLATFORM_FLAGS)

# A field and its mask are one entry, under the field's name.
FIELDS: Final[dict[str, Covers]] = {
    **{field: partial(_exact, field) for field in _EXACT},
    **{field: partial(_at_least, field) for field in _AT_LEAST},
    **{field: partial(_at_most, field) for field in ("max_collateral_age", "collateral_grace")},
    **{field: partial(_subset, field) for field in _SUBSETS},
    **{field: partial(_superset, field) for field in (*DENY_LISTS, "required")},
    **{field: partial(_allowed, field) for field in _SWITCHES},
    **{field: partial(_zero_unless_named, field) for field in ("mr_config_id", "mr_owner", "mr_owner_config")},
    **{field: partial(_masked, field) for field in MASKED},
    "kss": _kss,
    "require_sept_ve_disable": _sept,
    "max_evidence_age": _evidence_age,
    "platform_grace": _platform_grace,
    "platforms": _platforms,
    "rejected_advisory_ids": _reasons_only,
}


def fields_of(entry: str) -> tuple[str, ...]:
    """Return the policy's fields that an entry of `FIELDS` is about."""
    return (entry, f"{entry}_mask") if entry in MASKED else (entry,)
