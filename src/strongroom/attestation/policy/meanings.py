"""What each code of a refusal by policy means, and what to do: for `strongroom explain`, beside the error catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from strongroom.attestation.policy.codes import PolicyCode as Code
from strongroom.errors import CatalogueEntry

FAMILY: Final = "policy"
_OTHER_BUILD: Final = "Compare the build with the rule; write a rule for a new build with strongroom policy trust."
_REBOOT: Final = "Start the trust domain as it was measured, or write a rule for what runs now after reviewing it."
_HOST_GAVE: Final = (
    "Name the value in the rule if the trust domain is meant to run with it; otherwise ask its operator."
)
_UPDATE: Final = "Have the operator update firmware, microcode and TEE software, then attest again."
_DOMAIN_WORD: Final = "Start the trust domain without it, or name {} in the rule."
_PLATFORM: Final = "Use another platform, or admit this one by the rule's words after deciding that it is meant."

# Meaning, then what to do. Every code has both; a test holds that.
_MEANINGS: Final[dict[Code, tuple[str, str]]] = {
    Code.SIMULATED_EVIDENCE: (
        "The evidence comes from a simulated platform, and the rule does not name the domain simulated.",
        "Run on real SGX or TDX hardware; for development only, put simulated into trust_domains.",
    ),
    Code.TRUST_DOMAIN: (
        "The evidence rests on the word of somebody whom the rule's trust_domains do not name.",
        "Add the domain to trust_domains if you mean to take that word.",
    ),
    Code.TEE: ("The rule is for the other kind of TEE: SGX enclaves or TDX trust domains.", _OTHER_BUILD),
    Code.PLATFORM_DENIED: (
        "The platform's PPID or platform instance id is on the deny-list.",
        "Release nothing to this platform until its keys have been replaced; then take it off the list.",
    ),
    Code.FMSPC_DENIED: ("The platform's family (FMSPC) is on the deny-list.", "Use a platform of another family."),
    Code.PCK_DENIED: (
        "The platform's PCK certificate is on the deny-list, by its serial number.",
        "Release nothing to who holds that key; a platform that was registered again has another certificate.",
    ),
    Code.ATTESTATION_KEY_DENIED: (
        "The key that signed the quote is on the deny-list.",
        "Release nothing to who holds that key; a quoting enclave that is set up anew has another one.",
    ),
    Code.ROOT_DENIED: (
        "The evidence ends at a root key that is on the deny-list.",
        "Take the anchor away, too; nothing below that root proves anything.",
    ),
    Code.PLATFORM_NOT_ENROLLED: (
        "The rule admits certain platforms only, and this is none of them.",
        "If the machine is yours, add its PPID or platform instance id (strongroom quote inspect) to platforms.",
    ),
    Code.PLATFORM_ENROLMENT_EXPIRED: (
        "The platform is enrolled, but its enrolment has run out.",
        "Check that the machine is where it should be, then set a later until.",
    ),
    Code.SGX_TYPE: ("The platform's memory protection is of a kind that the rule does not accept.", _PLATFORM),
    Code.DYNAMIC_PLATFORM: (
        "Processor packages can be added to the platform; so it is with nearly every server that has several sockets.",
        "Write allow_dynamic_platform = true if that is acceptable: most clouds have no other machines.",
    ),
    Code.CACHED_KEYS: (
        "Intel's registration service keeps the platform's root keys, as the operator chose when registering it.",
        "Write allow_cached_keys = true if that is acceptable, or have the platform registered without.",
    ),
    Code.SMT_ENABLED: (
        "Hyper-threading is on, so that a neighbour on the same core may learn something by side channels.",
        "Write allow_smt_enabled = true if that is acceptable, as on most clouds; or have it turned off in the BIOS.",
    ),
    Code.PLATFORM_PROVIDER: ("The platform's provider is unknown or none that the rule accepts.", _PLATFORM),
    Code.EXPIRED: ("The verdict does not count at this time.", "Verify again with fresh collateral; compare clocks."),
    Code.COLLATERAL_TOO_OLD: (
        "The reference data are in date, but older than the rule allows.",
        "Fetch fresh collateral (strongroom collateral doctor says what is wrong), or raise max_collateral_age_days.",
    ),
    Code.EVIDENCE_AGE: (
        "The evidence was made too long ago, or does not say when where the rule wants to know.",
        "Attest again and hand the evidence over at once; for stored tokens raise max_evidence_age_seconds.",
    ),
    Code.DEBUG: (
        "The program runs in debug mode: whoever runs the machine can read its memory.",
        "Rebuild with sgx.debug = false, or start the trust domain without debug. Never allow it in production.",
    ),
    Code.INIT: ("The enclave's report does not say that it was initialised.", "Refuse this evidence: no quote is so."),
    Code.MODE64: ("The enclave does not run in 64-bit mode.", _OTHER_BUILD),
    Code.PROVISION_KEY: (
        "The enclave has access to the provisioning key, by which platforms can be told apart.",
        "Rebuild without it; allow_provision_key admits it outside production.",
    ),
    Code.EINITTOKEN_KEY: (
        "The enclave has access to the launch token key.",
        "Rebuild without it; allow_einittoken_key admits it outside production.",
    ),
    Code.ATTRIBUTES: ("The enclave's attribute flags differ from the rule's under its mask.", _OTHER_BUILD),
    Code.XFRM: ("The enclave's processor extensions (XFRM) differ from the rule's under its mask.", _OTHER_BUILD),
    Code.MISCSELECT: ("The enclave's MISCSELECT differs from the rule's under its mask.", _OTHER_BUILD),
    Code.RESERVED: (
        "A reserved byte or an attribute bit is set that this release does not know.",
        "Use a release of Strongroom that knows what it means.",
    ),
    Code.KSS: (
        "A field that no measurement covers (CONFIGID and its kin) is not what the rule says, or not zero.",
        "Name the field in the rule if the enclave is meant to run with it.",
    ),
    Code.MRENCLAVE: ("The enclave is another build than the rule's.", _OTHER_BUILD),
    Code.MRSIGNER: ("The enclave is signed by another key than the rule's.", _OTHER_BUILD),
    Code.ISVPRODID: ("The enclave is another product of its signer than the rule's.", _OTHER_BUILD),
    Code.ISVSVN: ("The enclave's security version is outside of what the rule admits.", _OTHER_BUILD),
    Code.MRTD: ("The trust domain started with other firmware than the rule's.", _REBOOT),
    Code.RTMR0: ("The virtual firmware's configuration differs from the rule's.", _REBOOT),
    Code.RTMR1: ("Boot loader or kernel differ from the rule's.", _REBOOT),
    Code.RTMR2: ("Command line or initial file system differ from the rule's.", _REBOOT),
    Code.RTMR3: ("What the running system measured differs from the rule's.", _REBOOT),
    Code.MR_CONFIG_ID: ("The host gave the trust domain another configuration id than the rule's.", _HOST_GAVE),
    Code.MR_OWNER: ("The host named another owner of the trust domain than the rule.", _HOST_GAVE),
    Code.MR_OWNER_CONFIG: ("The host gave another owner's configuration than the rule's.", _HOST_GAVE),
    Code.MR_SEAM: ("The platform runs another TDX module than the rule's.", _PLATFORM),
    Code.MR_SIGNER_SEAM: ("The TDX module is signed by another key than the rule's.", _PLATFORM),
    Code.XFAM: ("The trust domain's processor extensions (XFAM) differ from the rule's.", _REBOOT),
    Code.TD_ATTRIBUTES: ("The trust domain's attributes differ from the rule's under its mask.", _REBOOT),
    Code.SEPT_VE_DISABLE: (
        "The host can inject exceptions into the trust domain, since SEPT_VE_DISABLE is clear.",
        "Start the trust domain with SEPT_VE_DISABLE.",
    ),
    Code.SERVICE_TD: (
        "A service TD is bound to the trust domain and can act on it.",
        _DOMAIN_WORD.format("allow_service_td"),
    ),
    Code.PKS: ("The trust domain uses supervisor protection keys.", _DOMAIN_WORD.format("allow_pks")),
    Code.KL: ("The trust domain uses Key Locker.", _DOMAIN_WORD.format("allow_kl")),
    Code.PERFMON: ("The trust domain uses performance monitoring.", _DOMAIN_WORD.format("allow_perfmon")),
    Code.MIGRATABLE: (
        "The trust domain can be moved to another platform.",
        _DOMAIN_WORD.format("allow_migratable"),
    ),
    Code.TCB_STATUS: ("The platform is not as current as the rule wants, or Revoked, which none accepts.", _UPDATE),
    Code.PLATFORM_GRACE: ("The platform is outdated, and the time that the rule gave to update is over.", _UPDATE),
    Code.EVAL_NUM: (
        "The reference data are of an earlier TCB evaluation than the rule wants.",
        "Fetch collateral anew, with update = early if the number is the newest.",
    ),
    Code.TCB_LEVEL_DATE: ("The level that the platform reached is older than the rule wants.", _UPDATE),
    Code.ADVISORY_REJECTED: ("An advisory applies to the platform that the rule rejects by name.", _UPDATE),
    Code.ADVISORY_NOT_ACCEPTED: (
        "An advisory applies to the platform that the rule does not list, or the evidence does not say which apply.",
        "Read the advisory; list it in accepted_advisory_ids only if the program mitigates it.",
    ),
    Code.REPORT_DATA: ("The evidence carries other report data than the rule's.", "Have the program quote for these."),
    Code.BINDING: (
        "The evidence is bound in another way than the rule wants, or nobody told what it is bound to.",
        "Attest in a protocol that binds it so; policy test knows of no peer, so there such a rule always refuses.",
    ),
}  # fmt: skip


def entries() -> Iterator[CatalogueEntry]:
    """Yield what every code means, in the order in which policies ask."""
    for code in Code:
        meaning, fix = _MEANINGS[code]
        yield CatalogueEntry(code.value, FAMILY, meaning, fix)
