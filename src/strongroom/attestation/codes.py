"""Why evidence is refused: the codes of the specification's section 9, what each means, and what to do about it.

`EvidenceRefused` is the only error that leaves this room for bytes that came from outside; `reason` is its code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum, auto
from functools import partial
from typing import Final

from strongroom.errors import CatalogueEntry, Refused, StrongroomError, Tampered


class EvidenceCode(StrEnum):
    """Reasons in the order of verification, spelled as in the specification."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:  # noqa: ARG004
        return name

    TOO_LARGE = auto()
    MALFORMED = auto()
    QUOTE_TRUNCATED = auto()
    UNSUPPORTED_QUOTE_VERSION = auto()
    UNSUPPORTED_TEE = auto()
    UNSUPPORTED_BODY_TYPE = auto()
    BODY_TEE_MISMATCH = auto()
    BODY_SIZE = auto()
    UNSUPPORTED_AK_TYPE = auto()
    V3_NOT_SGX = auto()
    UNKNOWN_QE_VENDOR = auto()
    V4_CERT_TYPE = auto()
    AUTH_TRAILING = auto()
    CERT_TYPE = auto()
    TRAILING_DATA = auto()
    CERT_TYPE_UNSUPPORTED = auto()
    CRL_MISSING = auto()
    ROOT_UNTRUSTED = auto()
    SIMULATED_EVIDENCE = auto()
    ROOT_EXPIRED = auto()
    CRL_UNKNOWN_ISSUER = auto()
    CRL_INVALID_SIGNATURE = auto()
    CRL_EXPIRED = auto()
    ROOT_REVOKED = auto()
    TCB_SIGNING_CHAIN = auto()
    TCB_SIGNING_CHAIN_UNTRUSTED = auto()
    TCB_SIGNING_CERT_MISSING = auto()
    TCB_SIGNING_INVALID_ISSUER = auto()
    TCB_SIGNING_EXPIRED = auto()
    TCB_SIGNING_REVOKED = auto()
    TCB_INFO_INVALID_SIGNATURE = auto()
    TCB_INFO_VERSION = auto()
    TCB_TYPE = auto()
    TCB_INFO_FORMAT = auto()
    TCB_UNRECOGNIZED_STATUS = auto()
    TCB_INFO_EXPIRED = auto()
    QE_IDENTITY_INVALID_SIGNATURE = auto()
    QE_IDENTITY_EXPIRED = auto()
    PCK_CHAIN = auto()
    PCK_CERT_CHAIN_UNTRUSTED = auto()
    SGX_PCK_MISSING = auto()
    INTERMEDIATE_CA = auto()
    INTERMEDIATE_INVALID_ISSUER = auto()
    PCK_INVALID_ISSUER = auto()
    PCK_CHAIN_EXPIRED = auto()
    PCK_IS_CA = auto()
    INTERMEDIATE_REVOKED = auto()
    PCK_REVOKED = auto()
    INVALID_PCK_CERT = auto()
    TCB_INFO_MISMATCH = auto()
    TDX_MODULE_MISMATCH = auto()
    INVALID_QE_REPORT_SIGNATURE = auto()
    INVALID_QE_REPORT_DATA = auto()
    QE_IDENTITY_MISMATCH = auto()
    UNSUPPORTED_QUOTE_FORMAT = auto()
    INVALID_QUOTE_SIGNATURE = auto()
    TCB_NOT_SUPPORTED = auto()


_WHOLE: Final = "Fetch the quote again and pass it on whole, as the platform wrote it."
_OTHER_PLATFORM: Final = "Use evidence of the supported kind, or a release of Strongroom that verifies this kind."
_REFRESH: Final = "Fetch fresh collateral for this platform; compare the clock with a trusted one."
_REFETCH: Final = "Fetch the collateral again from its source and keep its text byte for byte."
_DISTRUST: Final = "Do not release anything to this machine; ask its operator which platform it is."
_CHAIN: Final = "Pass the PCK chain on as the platform gives it: leaf, PCK CA, root; or register the platform again."
_TAMPERED: Final = "Treat the evidence as forged: get a new quote from the machine over a channel you trust."
_MATCH: Final = "Fetch the collateral for the FMSPC that `strongroom quote inspect` prints for this quote."
_ANCHOR: Final = "Check which root the evidence ends at; add an anchor only for a platform you decided to trust."
_UPDATE: Final = "Have the operator update microcode, BIOS and SGX software, and register the platform again."

# Meaning, then what to do. Every code has both; a test holds that.
_CATALOGUE: Final[dict[EvidenceCode, tuple[str, str]]] = {
    EvidenceCode.TOO_LARGE: ("The evidence or a part of the collateral is larger than any genuine one.", _WHOLE),
    EvidenceCode.MALFORMED: ("A part of the collateral does not follow its format.", _REFETCH),
    EvidenceCode.QUOTE_TRUNCATED: ("The quote ends before a length it declares.", _WHOLE),
    EvidenceCode.UNSUPPORTED_QUOTE_VERSION: ("The quote is of a version that is not verified here.", _OTHER_PLATFORM),
    EvidenceCode.UNSUPPORTED_TEE: ("The quote comes from a kind of TEE that is not verified here.", _OTHER_PLATFORM),
    EvidenceCode.UNSUPPORTED_BODY_TYPE: ("The quote's body is of a type that is not verified here.", _OTHER_PLATFORM),
    EvidenceCode.BODY_TEE_MISMATCH: ("The quote's body is of another kind of TEE than its header says.", _TAMPERED),
    EvidenceCode.BODY_SIZE: ("The quote declares another size for its body than bodies of that type have.", _TAMPERED),
    EvidenceCode.UNSUPPORTED_AK_TYPE: ("The attestation key is not ECDSA on P-256.", _OTHER_PLATFORM),
    EvidenceCode.V3_NOT_SGX: ("A version 3 quote claims a TEE other than SGX.", _TAMPERED),
    EvidenceCode.UNKNOWN_QE_VENDOR: ("The quoting enclave is not of the one vendor that is known.", _TAMPERED),
    EvidenceCode.V4_CERT_TYPE: ("The quote's signature data do not start with the QE report.", _TAMPERED),
    EvidenceCode.AUTH_TRAILING: ("The quote's signature data hold more bytes than their parts need.", _TAMPERED),
    EvidenceCode.CERT_TYPE: ("The quote's certification data are of a type that has no place there.", _CHAIN),
    EvidenceCode.TRAILING_DATA: ("Bytes that are not zero padding follow the quote.", _WHOLE),
    EvidenceCode.CERT_TYPE_UNSUPPORTED: (
        "The quote names its platform without carrying the PCK certificate chain.",
        "Hand over the PCK chain and its SGX-TCBm with the collateral, or have quotes carry their chain (type 5).",
    ),
    EvidenceCode.CRL_MISSING: ("A certificate revocation list is missing from the collateral.", _REFRESH),
    EvidenceCode.ROOT_UNTRUSTED: ("The collateral ends at no root key that is trusted here.", _ANCHOR),
    EvidenceCode.SIMULATED_EVIDENCE: (
        "The evidence comes from a simulated platform, which proves nothing about hardware.",
        "To rehearse, name the simulated platform's root (--root, or trust/anchors); never for real data.",
    ),
    EvidenceCode.ROOT_EXPIRED: ("The root certificate is not valid at the time of verification.", _REFRESH),
    EvidenceCode.CRL_UNKNOWN_ISSUER: ("A revocation list was issued by another authority.", _REFETCH),
    EvidenceCode.CRL_INVALID_SIGNATURE: ("A revocation list is not signed by its issuer.", _REFETCH),
    EvidenceCode.CRL_EXPIRED: ("A revocation list is not current at the time of verification.", _REFRESH),
    EvidenceCode.ROOT_REVOKED: ("The root certificate is on its own revocation list.", _DISTRUST),
    EvidenceCode.TCB_SIGNING_CHAIN: ("The chain of the TCB signer is not exactly signer and root.", _REFETCH),
    EvidenceCode.TCB_SIGNING_CHAIN_UNTRUSTED: ("The chain of the TCB signer ends at another root.", _REFETCH),
    EvidenceCode.TCB_SIGNING_CERT_MISSING: ("Reference data are signed by another role's key.", _REFETCH),
    EvidenceCode.TCB_SIGNING_INVALID_ISSUER: ("The TCB signer was not issued by the root.", _REFETCH),
    EvidenceCode.TCB_SIGNING_EXPIRED: ("The TCB signer is not valid at the time of verification.", _REFRESH),
    EvidenceCode.TCB_SIGNING_REVOKED: ("The TCB signer was revoked by the root.", _REFRESH),
    EvidenceCode.TCB_INFO_INVALID_SIGNATURE: ("The TCB info is not what the TCB signer signed.", _REFETCH),
    EvidenceCode.TCB_INFO_VERSION: ("The TCB info is of a version that is not known.", _REFETCH),
    EvidenceCode.TCB_TYPE: ("The TCB info uses a TCB type that is not known.", _REFETCH),
    EvidenceCode.TCB_INFO_FORMAT: ("The TCB info does not follow its format.", _REFETCH),
    EvidenceCode.TCB_UNRECOGNIZED_STATUS: ("Reference data use a TCB status word that is not known.", _REFETCH),
    EvidenceCode.TCB_INFO_EXPIRED: ("The TCB info is not current at the time of verification.", _REFRESH),
    EvidenceCode.QE_IDENTITY_INVALID_SIGNATURE: ("The QE identity is not what the TCB signer signed.", _REFETCH),
    EvidenceCode.QE_IDENTITY_EXPIRED: ("The QE identity is not current at the time of verification.", _REFRESH),
    EvidenceCode.PCK_CHAIN: ("The PCK chain is not exactly leaf, PCK CA and root, in strict PEM.", _CHAIN),
    EvidenceCode.PCK_CERT_CHAIN_UNTRUSTED: ("The PCK chain ends at another root than the collateral.", _DISTRUST),
    EvidenceCode.SGX_PCK_MISSING: ("The leaf of the PCK chain is not a PCK certificate.", _DISTRUST),
    EvidenceCode.INTERMEDIATE_CA: ("The middle of the PCK chain is not a PCK certificate authority.", _DISTRUST),
    EvidenceCode.INTERMEDIATE_INVALID_ISSUER: ("The PCK CA was not issued by the root.", _DISTRUST),
    EvidenceCode.PCK_INVALID_ISSUER: ("The PCK certificate was not issued by its CA.", _DISTRUST),
    EvidenceCode.PCK_CHAIN_EXPIRED: ("A certificate of the PCK chain is not valid at this time.", _CHAIN),
    EvidenceCode.PCK_IS_CA: ("The PCK certificate claims to be a certificate authority.", _DISTRUST),
    EvidenceCode.INTERMEDIATE_REVOKED: ("The PCK CA was revoked by the root.", _DISTRUST),
    EvidenceCode.PCK_REVOKED: ("The platform's PCK certificate was revoked.", _DISTRUST),
    EvidenceCode.INVALID_PCK_CERT: ("The PCK certificate does not describe an SGX platform completely.", _DISTRUST),
    EvidenceCode.TCB_INFO_MISMATCH: ("The TCB info is for another platform than the quote's.", _MATCH),
    EvidenceCode.TDX_MODULE_MISMATCH: ("The TDX module is not one that the TCB info describes.", _DISTRUST),
    EvidenceCode.INVALID_QE_REPORT_SIGNATURE: ("The platform did not sign the quoting enclave's report.", _TAMPERED),
    EvidenceCode.INVALID_QE_REPORT_DATA: ("The quoting enclave did not vouch for this attestation key.", _TAMPERED),
    EvidenceCode.QE_IDENTITY_MISMATCH: ("The quoting enclave is not the one described.", _DISTRUST),
    EvidenceCode.UNSUPPORTED_QUOTE_FORMAT: ("The attestation key is not a point on P-256.", _TAMPERED),
    EvidenceCode.INVALID_QUOTE_SIGNATURE: ("The quote is not what the attestation key signed.", _TAMPERED),
    EvidenceCode.TCB_NOT_SUPPORTED: ("The platform or its quoting enclave is older than every level listed.", _UPDATE),
}  # fmt: skip


# Genuine, but of another time, kind or root: nobody need have changed anything. Everything else is called tampered.
_NO_FORGERY: Final = frozenset({
    EvidenceCode.UNSUPPORTED_QUOTE_VERSION, EvidenceCode.UNSUPPORTED_TEE, EvidenceCode.UNSUPPORTED_BODY_TYPE,
    EvidenceCode.UNSUPPORTED_AK_TYPE, EvidenceCode.CERT_TYPE_UNSUPPORTED, EvidenceCode.CRL_MISSING,
    EvidenceCode.ROOT_UNTRUSTED, EvidenceCode.SIMULATED_EVIDENCE, EvidenceCode.ROOT_EXPIRED, EvidenceCode.CRL_EXPIRED,
    EvidenceCode.TCB_SIGNING_EXPIRED, EvidenceCode.TCB_INFO_VERSION, EvidenceCode.TCB_TYPE,
    EvidenceCode.TCB_UNRECOGNIZED_STATUS, EvidenceCode.TCB_INFO_EXPIRED, EvidenceCode.QE_IDENTITY_EXPIRED,
    EvidenceCode.PCK_CHAIN_EXPIRED, EvidenceCode.TCB_INFO_MISMATCH, EvidenceCode.TCB_NOT_SUPPORTED,
})  # fmt: skip


class EvidenceRefused(Tampered):
    """Evidence or collateral does not hold; `reason` says which check failed, `code` is its spelling as an error.

    `family` is "refused" where nobody need have changed anything (outdated, another kind), else "tampered".
    `step` is the number of the verification step that failed (1 to 21), None outside of a verification.
    """

    def __init__(self, sentence: str, *, reason: EvidenceCode, fix: str | None = None, step: int | None = None) -> None:
        super().__init__(sentence, fix=fix or fix_of(reason))
        self.reason = reason
        self.step = step
        self.code = error_code(reason)  # type: ignore[misc]  # one class, one code for each reason
        self.family = family_of(reason)  # type: ignore[misc]

    @classmethod
    def entries(cls) -> Iterator[CatalogueEntry]:
        """Yield one catalogue line for each reason."""
        for reason, (meaning, fix) in _CATALOGUE.items():
            yield CatalogueEntry(error_code(reason), family_of(reason), meaning, fix)


def error_code(reason: EvidenceCode) -> str:
    """Return the stable error code of a reason: `SR-PCK-REVOKED` for PCK_REVOKED."""
    subject = (
        "EVIDENCE-" if reason in {EvidenceCode.MALFORMED, EvidenceCode.TOO_LARGE} else ""
    )  # other rooms say so too
    return f"SR-{subject}{reason.replace('_', '-')}"


def family_of(reason: EvidenceCode) -> str:
    """Return the family that an error of this reason is shown under."""
    return Refused.family if reason in _NO_FORGERY else Tampered.family


def meaning_of(reason: EvidenceCode) -> str:
    """Return the sentence that explains a reason to an owner."""
    return _CATALOGUE[reason][0]


def fix_of(reason: EvidenceCode) -> str:
    """Return what to do about a reason."""
    return _CATALOGUE[reason][1]


def refusal(reason: EvidenceCode) -> Callable[[str], StrongroomError]:
    """Return a maker of refusals with this reason, for parsers that take their error from the caller."""
    return partial(EvidenceRefused, reason=reason)


def require(condition: bool, reason: EvidenceCode, sentence: str) -> None:
    """Raise a refusal unless `condition` holds."""
    if not condition:
        raise EvidenceRefused(sentence, reason=reason)
