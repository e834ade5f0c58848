"""Every word of policy.toml: what it takes, what leaving it out means, and what it does.

One table for the reader, the writer, `policy show`, `policy diff` and the page that explains them, so that none of
them can know a word that another does not. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from strongroom.attestation import BindingKind, Policy, TcbStatus, TrustDomain
from strongroom.attestation.policy import DEFAULT_MAX_COLLATERAL_AGE
from strongroom.attestation.policy.contradictions import DENY_LISTS
from strongroom.broker.policy.kinds import (
    ADVISORIES,
    FMSPCS,
    PROVIDERS,
    RULE_WORDS,
    Chosen,
    Hex,
    Ids,
    Kind,
    Moment,
    Number,
    Numbers,
    OneOf,
    Platforms,
    Releases,
    Serials,
    Span,
    Switch,
    Value,
)
from strongroom.broker.release import DEFAULT_LEASE_SECONDS, Limits
from strongroom.gramine.provisioning import SecretFormat
from strongroom.workspace.secret_store import MAX_VERSION

MAX_U16: Final = 0xFFFF
MAX_LEASES: Final = 1_000_000
MAX_AGE_DAYS: Final = 366
DEFAULT_AGE_DAYS: Final = DEFAULT_MAX_COLLATERAL_AGE.days
_MAX_SECONDS: Final = 366 * 86_400
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_LESSER: Final = tuple(TcbStatus)  # Revoked is known, and refused with a sentence of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a rule that says something about evidence. `field` is the policy's; `default` what absence means."""

    name: str
    field: str
    kind: Kind
    default: Value = None  # None: not compared
    lenient: Value = None  # another default in files that name no production profile: there it was not judged before
    always: bool = False  # written even where it is the default
    unnamed: str = "not compared"  # what None means
    about: str
    example: str

    def default_in(self, *, production: bool) -> Value:
        """Return what leaving the word out means in a file with or without a production profile."""
        return self.default if production or self.lenient is None else self.lenient


def _word(name: str, kind: Kind, about: str, example: str, **more: Value) -> Word:
    return Word(name=name, field=more.pop("field", name), kind=kind, about=about, example=example, **more)


def _mask(name: str, kind: Kind, example: str) -> Word:
    return _word(name, kind, "which of these bits are compared; without it all", example, unnamed="all bits")


_ZEROS: Final = "0" * 96
_REGISTER: Final = "a runtime register, exact: {}"
STATUS_WORDS: Final = (
    _word("accepted_tcb_status", Chosen(TcbStatus, _LESSER),
          "how current the platform may be; holds UpToDate, never Revoked", '["UpToDate", "ConfigurationNeeded"]',
          default=frozenset({TcbStatus.UP_TO_DATE}), always=True),
    _word("accepted_advisory_ids", ADVISORIES, "advisories that the program mitigates; every other one refuses",
          '["INTEL-SA-00615"]', default=frozenset()),
    _word("rejected_advisory_ids", ADVISORIES, "advisories named as refused, which the reason then tells",
          '["INTEL-SA-00334"]', default=frozenset()),
    _word("trust_domains", Chosen(TrustDomain), "whose word counts: the owner of the root key, or of the token service",
          '["intel"]', default=frozenset({TrustDomain.INTEL}), always=True),
    _word("allow_debug", Switch(), "admit programs whose memory the host can read; never in production", "false",
          default=False, always=True),
    _word("max_collateral_age_days", Span(_DAY, MAX_AGE_DAYS), "how old the signed reference data may be, besides "
          "their own expiry", "7", field="max_collateral_age", default=DEFAULT_MAX_COLLATERAL_AGE, always=True),
    _word("min_eval_num", Number(2**31 - 1), "least TCB evaluation number of the reference data; excludes both graces",
          "19"),
    _word("min_tcb_level_date", Moment(), "oldest level that a platform may be at", "2025-01-01"),
    _word("collateral_grace_period_seconds", Span(_SECOND, _MAX_SECONDS), "how long expired reference data still "
          "count, each use being recorded; never certificates of the PCK chain", "86400", field="collateral_grace",
          default=timedelta(0)),
    _word("platform_grace_period_seconds", Span(_SECOND, 10 * _MAX_SECONDS), "how long after its level's date an "
          "outdated platform is admitted; wants OutOfDate accepted", "7776000", field="platform_grace"),
    _word("max_evidence_age_seconds", Span(_SECOND, _MAX_SECONDS), "how old the evidence may be; without the word, 120 "
          "s where the evidence says its time, and with it the evidence has to", "120", field="max_evidence_age",
          unnamed="120 where the evidence says its time"),
)  # fmt: skip
PLATFORM_WORDS: Final = (
    _word("platforms", Platforms(), "the only platforms admitted, by the PPID or platform instance id that their PCK "
          "certificate signs, each until a date", f'[{{id = "{"5a" * 16}", until = 2027-01-31}}]'),
    _word("denied_platforms", Ids(16, "platform id"), "platforms refused whatever else holds", f'["{"5b" * 16}"]',
          default=frozenset()),
    _word("denied_fmspc", FMSPCS, "platform families refused whatever else holds", '["00906ED50000"]',
          default=frozenset()),
    _word("denied_pck_serials", Serials(), "PCK certificates refused whatever else holds", f'["{"5c" * 20}"]',
          default=frozenset()),
    _word("denied_attestation_keys", Ids(64, "attestation key"), "keys that sign quotes, x and y, refused whatever "
          "else holds", f'["{"5d" * 64}"]', default=frozenset()),
    _word("denied_roots", Ids(48, "root key id"), "root keys, by the SHA-384 of their point, refused whatever else "
          "holds", f'["{"5e" * 48}"]', default=frozenset()),
    _word("accepted_sgx_types", Numbers(), "kinds of memory protection: 0 standard, 1 scalable, 2 scalable with "
          "integrity", "[1, 2]"),
    _word("accepted_platform_provider_ids", PROVIDERS, "providers; a quote alone names none, and is then refused",
          '["example-cloud"]'),
    _word("allow_dynamic_platform", Switch(), "admit platforms to which processor packages can be added", "false",
          default=False, lenient=True, always=True),
    _word("allow_cached_keys", Switch(), "admit platforms whose root keys Intel's registration service keeps", "false",
          default=False, lenient=True, always=True),
    _word("allow_smt_enabled", Switch(), "admit platforms with hyper-threading", "false", default=False,
          lenient=True, always=True),
    _word("required", RULE_WORDS, "of the three words above, those that refuse a platform which leaves them undefined",
          '["allow_smt_enabled"]', default=frozenset()),
)  # fmt: skip
ENCLAVE_WORDS: Final = (
    _word("allow_provision_key", Switch(), "admit enclaves with access to the provisioning key; never in production",
          "false", default=False),
    _word("allow_einittoken_key", Switch(), "admit enclaves with access to the launch token key; never in production",
          "false", default=False),
    _word("attributes", Hex(8), "attribute flags as in the report", '"0500000000000000"'),
    _mask("attributes_mask", Hex(8), '"fbffffffffffffff"'),
    _word("xfrm", Hex(8), "processor extensions of the enclave", '"e700000000000000"'),
    _mask("xfrm_mask", Hex(8), '"ffffffffffffffff"'),
    _word("miscselect", Hex(4), "MISCSELECT as in the report", '"00000000"'),
    _mask("miscselect_mask", Hex(4), '"ffffffff"'),
    _word("config_id", Hex(64), "CONFIGID, exact; each of these four is wanted zero without its word",
          f'"{"00" * 64}"', field="kss", unnamed="zero"),
    _word("config_svn", Number(MAX_U16), "CONFIGSVN, exact", "0", field="kss", unnamed="zero"),
    _word("isv_ext_prod_id", Hex(16), "ISVEXTPRODID, exact", f'"{"00" * 16}"', field="kss", unnamed="zero"),
    _word("isv_family_id", Hex(16), "ISVFAMILYID, exact", f'"{"00" * 16}"', field="kss", unnamed="zero"),
)  # fmt: skip
DOMAIN_WORDS: Final = (
    _word("rtmr0", Hex(48), _REGISTER.format("the firmware's configuration"), f'"{_ZEROS}"'),
    _word("rtmr1", Hex(48), _REGISTER.format("boot loader and kernel"), f'"{_ZEROS}"'),
    _word("rtmr2", Hex(48), _REGISTER.format("command line and initial file system"), f'"{_ZEROS}"'),
    _word("rtmr3", Hex(48), _REGISTER.format("what the running system extends"), f'"{_ZEROS}"'),
    _word("mr_config_id", Hex(48), "the host's configuration id, exact; zero without the word, as the next two",
          f'"{_ZEROS}"', unnamed="zero"),
    _word("mr_owner", Hex(48), "the trust domain's owner, exact", f'"{_ZEROS}"', unnamed="zero"),
    _word("mr_owner_config", Hex(48), "the owner's configuration, exact", f'"{_ZEROS}"', unnamed="zero"),
    _word("mr_seam", Hex(48), "measurement of the TDX module, exact", f'"{_ZEROS}"'),
    _word("mr_signer_seam", Hex(48), "signer of the TDX module, exact; zeros are Intel", f'"{_ZEROS}"'),
    _word("xfam", Hex(8), "processor extensions of the trust domain", '"e702060000000000"'),
    _mask("xfam_mask", Hex(8), '"ffffffffffffffff"'),
    _word("td_attributes", Hex(8), "attributes of the trust domain as in the report", '"0000001000000000"'),
    _mask("td_attributes_mask", Hex(8), '"ffffffffffffffff"'),
    _word("require_sept_ve_disable", Switch(), "refuse a trust domain into which the host can inject exceptions",
          "true", default=True),
    _word("allow_service_td", Switch(), "admit a trust domain that a service TD can act on", "false", default=False),
    _word("allow_pks", Switch(), "admit supervisor protection keys", "false", default=False),
    _word("allow_kl", Switch(), "admit Key Locker", "false", default=False),
    _word("allow_perfmon", Switch(), "admit performance monitoring", "false", default=False),
    _word("allow_migratable", Switch(), "admit a trust domain that can move to another platform", "false",
          default=False),
)  # fmt: skip
BOUND_WORDS: Final = (
    _word("report_data", Hex(64), "the 64 bytes that the evidence carries, exact", f'"{"00" * 64}"'),
    _word("bindings", Chosen(BindingKind), "how the evidence has to be bound: transcript (purpose, key, nonce, "
          "deployment), or key alone as Gramine does", '["transcript"]'),
    _word("accept_unknown", RULE_WORDS, "rules that may stay unknown, since a token does not say everything",
          '["max_collateral_age_days"]', default=frozenset()),
)  # fmt: skip
LIMIT_WORDS: Final = (
    _word("max_leases", Number(MAX_LEASES, 1), "how many replicas may hold one secret by this rule at a time;"
        " one that asks again with its key is counted once", "8",
          unnamed="no limit"),
    _word("lease_seconds", Number(86_400, 10), "how long a secret is lent before its holder has to prove itself again",
          "600", default=DEFAULT_LEASE_SECONDS),
    _word("until", Moment(), "the rule counts before this moment", "2027-01-31", unnamed="no end"),
    _word("min_model_version", Number(MAX_VERSION, 1), "no version of a model below this one, whatever release says",
          "3", unnamed="every version in release"),
    _word("secret_format", OneOf(SecretFormat), "how Gramine's protocol hands the key over: its 16 bytes, or as text of"
          " 32 hex digits for Gramine before 1.3 and Graphene; KBS is not concerned", '"hex32z"',
          default=SecretFormat.RAW16),
)  # fmt: skip
IDENTITY_KINDS: Final[dict[str, Kind]] = {
    "mrenclave": Hex(32, measured=True), "mrsigner": Hex(32, measured=True), "isvprodid": Number(MAX_U16),
    "min_isvsvn": Number(MAX_U16), "max_isvsvn": Number(MAX_U16), "mrtd": Hex(48, measured=True),
}  # fmt: skip
WORDS: Final = (*STATUS_WORDS, *PLATFORM_WORDS, *ENCLAVE_WORDS, *DOMAIN_WORDS, *BOUND_WORDS)
BY_NAME: Final = {word.name: word for word in WORDS}
RULE_ONLY: Final = ("name", "release", "require_fresh")
RELEASES: Final = Releases()
FILE_WORDS: Final = ("version", "profile", "platforms", *DENY_LISTS, "rule")
ALL_RULE_WORDS: Final = frozenset({*BY_NAME, *(word.name for word in LIMIT_WORDS), *IDENTITY_KINDS, *RULE_ONLY})


def value_of(word: Word, part: Policy | Limits) -> Value:
    """Return what a rule's policy, or its limits, have for a word of theirs; None where it is not compared."""
    if word.field == "kss" and isinstance(part, Policy):
        return None if part.kss is None else getattr(part.kss, word.name)
    return getattr(part, word.field)
