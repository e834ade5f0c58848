"""What a key owner allows: the whole vocabulary of the specification's section 8, as values.

Pure and denying by default: a policy names one program, and every weakening has to be spelled out. A policy that
contradicts itself, or is so wide that it decides nothing, cannot be made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom.attestation.anchors import TrustDomain
from strongroom.attestation.binding import BindingKind
from strongroom.attestation.policy.contradictions import contradictions
from strongroom.attestation.quote import Tee
from strongroom.attestation.status import TcbStatus
from strongroom.errors import BadInput

DEFAULT_MAX_COLLATERAL_AGE: Final = timedelta(days=7)
DEFAULT_MAX_EVIDENCE_AGE: Final = timedelta(seconds=120)


class PolicyUnusable(BadInput):
    """A policy contradicts itself, or is so wide that it decides nothing."""

    code = "SR-POLICY-UNUSABLE"
    fix = "Name one program, the statuses and advisories you accept, and the trust domains, without contradiction."


@dataclass(frozen=True, slots=True, kw_only=True)
class KssFields:
    """Exact values of the key separation and sharing fields, which MRENCLAVE does not cover."""

    config_id: bytes  # 64 bytes
    config_svn: int
    isv_ext_prod_id: bytes  # 16 bytes
    isv_family_id: bytes  # 16 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledPlatform:
    """One platform that the owner knows, until when; `id` is its PPID or its platform instance id (16 bytes)."""

    id: bytes
    until: datetime  # the enrolment counts before this moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one rule accepts. Names one program: `mrenclave`, or `mrsigner` with `isvprodid` and `min_isvsvn`, or, for
    TDX, `mrtd` with a register or configuration that covers what runs on that firmware. None: not compared.

    Revoked is never accepted. Advisories of an accepted verdict must all be in `accepted_advisory_ids`. The fields
    with a default are the strictest choice, or a rule that has to be named: fields of a report that no measurement
    covers and no rule speaks of must be zero or clear.
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
    # An SGX enclave. Masks say which bits are compared; None is all of them.
    kss: KssFields | None = None
    allow_provision_key: bool = False
    allow_einittoken_key: bool = False
    attributes: bytes | None = None  # 8 bytes, the flags
    attributes_mask: bytes | None = None
    xfrm: bytes | None = None  # 8 bytes
    xfrm_mask: bytes | None = None
    miscselect: bytes | None = None  # 4 bytes as in the report
    miscselect_mask: bytes | None = None
    # A trust domain (TDX).
    mrtd: bytes | None = None  # 48 bytes, as the next ones
    rtmr0: bytes | None = None
    rtmr1: bytes | None = None
    rtmr2: bytes | None = None
    rtmr3: bytes | None = None
    mr_config_id: bytes | None = None  # this and the next two: None wants zeros
    mr_owner: bytes | None = None
    mr_owner_config: bytes | None = None
    mr_seam: bytes | None = None
    mr_signer_seam: bytes | None = None
    xfam: bytes | None = None  # 8 bytes
    xfam_mask: bytes | None = None
    td_attributes: bytes | None = None  # 8 bytes
    td_attributes_mask: bytes | None = None
    require_sept_ve_disable: bool = True
    allow_service_td: bool = False
    allow_pks: bool = False
    allow_kl: bool = False
    allow_perfmon: bool = False
    allow_migratable: bool = False
    # Times.
    max_evidence_age: timedelta | None = None  # None: 120 s where evidence says its time; else it has to say it
    collateral_grace: timedelta = timedelta(0)
    platform_grace: timedelta | None = None  # None: an accepted OutOfDate counts for ever
    # How current.
    min_eval_num: int | None = None
    min_tcb_level_date: datetime | None = None
    # The platform.
    platforms: tuple[EnrolledPlatform, ...] | None = None
    denied_platforms: frozenset[bytes] = frozenset()  # 16 bytes each: PPIDs or platform instance ids
    denied_fmspc: frozenset[str] = frozenset()  # 12 hex digits, upper case
    denied_pck_serials: frozenset[int] = frozenset()  # serial numbers of PCK certificates
    denied_attestation_keys: frozenset[bytes] = frozenset()  # 64 bytes each, x ‖ y
    denied_roots: frozenset[bytes] = frozenset()  # 48 bytes each: root key ids
    accepted_sgx_types: frozenset[int] | None = None
    accepted_platform_provider_ids: frozenset[str] | None = None
    allow_dynamic_platform: bool = False
    allow_cached_keys: bool = False
    allow_smt_enabled: bool = False
    # What the evidence is bound to.
    report_data: bytes | None = None  # 64 bytes, exact
    bindings: frozenset[BindingKind] | None = None
    # The third state.
    required: frozenset[str] = frozenset()  # platform flags that must be defined
    accept_unknown: frozenset[str] = frozenset()  # rules that may stay unknown: a token does not say everything

    def __post_init__(self) -> None:
        for sentence in contradictions(self):
            raise PolicyUnusable(f"policy {self.name[:64]!r}: {sentence}")

    @property
    def tee(self) -> Tee:
        """The kind of TEE that this policy is for."""
        return Tee.SGX if self.mrtd is None else Tee.TDX
