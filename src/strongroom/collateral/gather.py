"""Which questions make a quote checkable: the platform first, then TCB info, QE identity and both revocation lists.

Pure; `ask` does the asking. Nothing is judged: what an unverified quote claims decides only what is looked up. A quote
that names its platform by an encrypted PPID needs its PCK certificate looked up too (specification sections 2.3, 11.1).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from strongroom.attestation import (
    CertificationType,
    Collateral,
    EvidenceCode,
    EvidenceRefused,
    PckLookup,
    Quote,
    Tee,
    pck_lookup_of,
)
from strongroom.attestation.certificates import Certificate, parse_certificate
from strongroom.attestation.codes import refusal
from strongroom.attestation.pck import read_pck_claims
from strongroom.collateral.api import Answer, Kind, Request
from strongroom.collateral.assemble import BadAnswer, Exchange, assemble, issuer_chain
from strongroom.collateral.checks import pck_chain, pck_tcbm, pem_chain

_PROCESSOR: Final = b"PCK Processor CA"
_LOOKUP_PPID_BYTES: Final = 384

# Answers a request; the second value is the root key (65 bytes) that the platform's certificates claim to end at.
Ask = Callable[[Request, bytes | None], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which of Intel's releases is wanted: the standard or the early update, or one evaluation number."""

    update: str = "standard"
    number: int | None = None

    def parameters(self) -> dict[str, str]:
        """Return the request parameters; the standard update is what servers give unasked."""
        if self.number is not None:
            return {"tcbEvaluationDataNumber": str(self.number)}
        return {} if self.update == "standard" else {"update": self.update}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What has to be known of a platform to look its collateral up; unverified."""

    tee: Tee
    fmspc: str  # 12 hex digits, upper case
    ca: str  # "platform" or "processor"
    root_key: bytes | None = None
    chain: str | None = None  # PCK chain (PEM), where the quote does not carry it
    tcbm: str | None = None
    leaf: str | None = None  # PEM, where the quote carries the leaf alone


def tcb_request(platform: Platform, choice: Choice) -> Request:
    """Return the question for the TCB info of a platform."""
    return Request(kind=Kind.TCB, tee=platform.tee, parameters={"fmspc": platform.fmspc, **choice.parameters()})


def identity_request(tee: Tee, choice: Choice) -> Request:
    """Return the question for the identity of the quoting enclave."""
    return Request(kind=Kind.QE_IDENTITY, tee=tee, parameters=choice.parameters())


def pck_crl_request(ca: str) -> Request:
    """Return the question for the revocation list of a PCK CA."""
    return Request(kind=Kind.PCK_CRL, parameters={"ca": ca, "encoding": "der"})


ROOT_CRL_REQUEST: Final = Request(kind=Kind.ROOT_CRL)


def pck_request(lookup: PckLookup) -> Request:
    """Return the question for a PCK certificate."""
    parameters = {
        "cpusvn": lookup.cpu_svn.hex(),
        "pcesvn": lookup.pce_svn.to_bytes(2, "little").hex(),
        "pceid": lookup.pce_id.hex(),
        "qeid": lookup.qe_id.hex(),
    }
    if len(lookup.encrypted_ppid) == _LOOKUP_PPID_BYTES:
        parameters["encrypted_ppid"] = lookup.encrypted_ppid.hex()
    return Request(kind=Kind.PCK_CERT, parameters=parameters)


def collateral_for(quote: Quote, ask: Ask, choice: Choice) -> Collateral:
    """Return collateral for a quote. Raises what `ask` raises, BadAnswer, or EvidenceRefused for the quote."""
    return collateral_of(platform_of(quote, ask), ask, choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """The four questions about a platform."""

    root_crl: Request
    pck_crl: Request
    tcb: Request
    qe_identity: Request

    def all(self) -> tuple[Request, ...]:
        """Return them in the order in which to ask: the root's list is needed to check the others."""
        return self.root_crl, self.pck_crl, self.tcb, self.qe_identity


def questions(platform: Platform, choice: Choice) -> Questions:
    """Return what to ask about a platform."""
    return Questions(
        root_crl=ROOT_CRL_REQUEST,
        pck_crl=pck_crl_request(platform.ca),
        tcb=tcb_request(platform, choice),
        qe_identity=identity_request(platform.tee, choice),
    )


def collateral_of(platform: Platform, ask: Ask, choice: Choice) -> Collateral:
    """Return collateral for a platform."""
    asked = questions(platform, choice)
    found = {request.kind: Exchange(request, ask(request, platform.root_key)) for request in asked.all()}
    pck_crl = found[Kind.PCK_CRL]
    chain = platform.chain
    if platform.leaf is not None:  # the rest of its chain is the one that comes with its CA's list
        chain = f"{platform.leaf}\n{issuer_chain(pck_crl.request, pck_crl.answer)}"
    return assemble(
        tcb=found[Kind.TCB],
        qe_identity=found[Kind.QE_IDENTITY],
        pck_crl=pck_crl,
        root_crl=found[Kind.ROOT_CRL],
        pck_certificate_chain=chain,
        pck_tcbm=platform.tcbm,
    )


def platform_of(quote: Quote, ask: Ask) -> Platform:
    """Return which platform a quote claims to come from; asks for the PCK certificate where it is not in the quote."""
    kind = quote.certification_type
    lookup = pck_lookup_of(quote)
    if lookup is not None:
        request = pck_request(lookup)
        found = Exchange(request, ask(request, None))
        chain = pck_chain(found)
        certificates = pem_chain(chain, "the PCK chain")
        return _platform(quote.tee, certificates[0], root=certificates[-1], chain=chain, tcbm=pck_tcbm(found))
    text = quote.certification_data.rstrip(b"\0")
    if kind is CertificationType.PCK_LEAF:
        leaf = pem_of(text)
        return _platform(quote.tee, pem_chain(leaf, "the PCK leaf")[0], leaf=leaf)
    if kind is not CertificationType.PCK_CHAIN:
        raise EvidenceRefused(
            f"certification data of type {kind.value} name no platform that can be looked up",
            reason=EvidenceCode.CERT_TYPE_UNSUPPORTED,
        )
    try:
        certificates = pem_chain(text.decode("ascii"), "the PCK chain")
    except (UnicodeDecodeError, BadAnswer):
        raise EvidenceRefused("the quote's PCK chain cannot be read", reason=EvidenceCode.PCK_CHAIN) from None
    return _platform(quote.tee, certificates[0], root=certificates[-1])


def _platform(
    tee: Tee,
    leaf_certificate: Certificate,
    *,
    root: Certificate | None = None,
    chain: str | None = None,
    tcbm: str | None = None,
    leaf: str | None = None,
) -> Platform:
    return Platform(
        tee=tee,
        fmspc=read_pck_claims(leaf_certificate).fmspc.hex().upper(),
        ca="processor" if _PROCESSOR in leaf_certificate.issuer else "platform",
        root_key=root.point if root else None,
        chain=chain,
        tcbm=tcbm,
        leaf=leaf,
    )


def pem_of(data: bytes) -> str:
    """Return the certificate that a quote of type 4 carries, DER or PEM, as PEM; refuse (PCK_CHAIN) anything else."""
    error = refusal(EvidenceCode.PCK_CHAIN)
    if data.startswith(b"-----BEGIN"):
        return data.decode("ascii", "replace").strip()
    parse_certificate(data, what="PCK leaf", error=error)
    return to_pem(data)


def to_pem(der: bytes) -> str:
    """Return a certificate (DER) as PEM."""
    digits = b64encode(der).decode("ascii")
    lines = [digits[start : start + 64] for start in range(0, len(digits), 64)]
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"))
