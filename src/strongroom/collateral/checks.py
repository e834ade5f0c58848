"""Verify one answer by itself, before it is kept or used: signature, role, revocation, and that it is what was asked.

Pure. The verification of a quote checks everything again; this keeps a lying or outdated source from displacing a good
one. Dates of documents are returned, not judged: `freshness` does that. Source: specification section 11.4 and 12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from strongroom.attestation import Anchor, EvidenceCode, Tee
from strongroom.attestation.certificates import Certificate, parse_pem_chain
from strongroom.attestation.chain import TrustedRoot, check_signer, find_root
from strongroom.attestation.codes import EvidenceRefused, refusal, require
from strongroom.attestation.crl import Crl, parse_crl
from strongroom.attestation.fields import Fields
from strongroom.attestation.identity import EnclaveIdentity, parse_identity
from strongroom.attestation.pck import read_pck_claims
from strongroom.attestation.signatures import signed_der, signed_raw
from strongroom.attestation.tcb_info import TcbInfo, parse_tcb_info
from strongroom.collateral.api import IDENTITIES, TCBM_HEADER, Kind
from strongroom.collateral.assemble import BadAnswer, Exchange, crl_der, issuer_chain, signed_json
from strongroom.collateral.freshness import Span

_IDENTITY_NAMES: Final = {
    (Kind.QE_IDENTITY, Tee.SGX): "QE",
    (Kind.QE_IDENTITY, Tee.TDX): "TD_QE",
    (Kind.QVE_IDENTITY, Tee.SGX): "QVE",
    (Kind.QAE_IDENTITY, Tee.SGX): "QAE",
}
_CA_ROLES: Final = {"platform": "PCK Platform CA", "processor": "PCK Processor CA"}
_OTHER_ROOT: Final = (
    "Name its root with --root if you trust it (a simulated platform's, say); else fetch the collateral again."
)
_MAX_NUMBER: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What an answer turned out to be. `subject` names what `number` may be compared within."""

    root_key_id: str
    subject: str
    number: int  # evaluation number; CRL number; 0 for a PCK certificate
    span: Span
    crl: Crl | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an answer is checked under. The root's revocation list is None only while that list itself is fetched."""

    anchors: tuple[Anchor, ...]
    at: datetime
    root_crl: Crl | None = None


def check(exchange: Exchange, under: Circumstances) -> Checked:
    """Return what an answer is; raise BadAnswer, or EvidenceRefused with the code of the first thing that is wrong."""
    checker = _CHECKERS.get(exchange.request.kind)
    if checker is None:
        raise BadAnswer(f"answers to {exchange.request.kind.value} are not signed and cannot be checked")
    return checker(exchange, under)


def pem_chain(text: str, what: str) -> tuple[Certificate, ...]:
    """Return the certificates of a chain; raise BadAnswer."""
    return parse_pem_chain(text.encode("utf-8").rstrip(b"\0"), what=what, error=BadAnswer)


def check_links(chain: Sequence[Certificate], anchors: Sequence[Anchor], *, at: datetime) -> TrustedRoot:
    """Check that a PCK chain hangs together below an anchor: enough to know that asking about it is worth while.

    Raises EvidenceRefused. Whatever a forged chain names, nobody is asked about it.
    """
    require(len(chain) == 3, EvidenceCode.PCK_CHAIN, f"the PCK chain has {len(chain)} certificates, wanted 3")
    root = find_root((tuple(chain),), anchors, at=at)
    _check_issued(chain[1], root.certificate, EvidenceCode.INTERMEDIATE_INVALID_ISSUER)
    _check_issued(chain[0], chain[1], EvidenceCode.PCK_INVALID_ISSUER)
    return root


def _channel(exchange: Exchange) -> str:
    """Return which of Intel's release channels was asked: early and standard have numbers of their own."""
    asked = exchange.request.parameters
    number = asked.get("tcbEvaluationDataNumber")
    return f"number {number}" if number else asked.get("update", "standard")


def _signed_text(exchange: Exchange, under: Circumstances, code: EvidenceCode) -> tuple[bytes, TrustedRoot]:
    """Return the signed bytes of an answer whose signer holds the TCB Signing role below an anchor."""
    signed = signed_json(exchange.request, exchange.answer)
    chain = pem_chain(signed.chain, f"the issuer chain of {exchange.request.kind.value}")
    root = find_root((chain,), under.anchors, at=under.at)
    signer, _ = check_signer(chain, root, _root_crl(under), at=under.at)
    text = signed.text.encode("utf-8")
    require(signed_raw(signer.point, bytes.fromhex(signed.signature), text), code,
            f"the answer to {exchange.request.kind.value} is not what {signer.common_name!r} signed")  # fmt: skip
    return text, root


def _root_crl(under: Circumstances) -> Crl:
    require(under.root_crl is not None, EvidenceCode.CRL_MISSING, "the root's revocation list is not known")
    assert under.root_crl is not None  # noqa: S101  # just required
    return under.root_crl


def _tcb_info(exchange: Exchange, under: Circumstances) -> Checked:
    text, root = _signed_text(exchange, under, EvidenceCode.TCB_INFO_INVALID_SIGNATURE)
    info, request = parse_tcb_info(text), exchange.request
    seen, wanted = (info.tee, info.fmspc.hex().upper()), (request.tee, request.parameters["fmspc"])
    require(seen == wanted, EvidenceCode.TCB_INFO_MISMATCH,
            f"asked for TCB info of {' '.join(wanted)}, got that of {' '.join(seen)}")  # fmt: skip
    return _numbered(exchange, root, f"TCB info {info.tee.value} {wanted[1]} {_channel(exchange)}", info)


def _identity(exchange: Exchange, under: Circumstances) -> Checked:
    text, root = _signed_text(exchange, under, EvidenceCode.QE_IDENTITY_INVALID_SIGNATURE)
    identity, request = parse_identity(text), exchange.request
    wanted = _IDENTITY_NAMES[request.kind, request.tee]
    require(identity.name == wanted, EvidenceCode.QE_IDENTITY_MISMATCH,
            f"asked for the identity {wanted}, got {identity.name[:16]!r}")  # fmt: skip
    return _numbered(exchange, root, f"identity {wanted} {_channel(exchange)}", identity)


def _numbered(exchange: Exchange, root: TrustedRoot, subject: str, document: TcbInfo | EnclaveIdentity) -> Checked:
    """Return what a document is, once its evaluation number is the one that was asked for, if one was."""
    number, wanted = document.evaluation_number, exchange.request.parameters.get("tcbEvaluationDataNumber")
    require(wanted is None or int(wanted) == number, EvidenceCode.TCB_INFO_MISMATCH,
            f"asked for evaluation number {wanted}, got {number}")  # fmt: skip
    span = Span(kind=exchange.request.kind, issued=document.issued, until=document.next_update)
    return Checked(root_key_id=root.anchor.root_key_id, subject=subject, number=number, span=span)


def _numbers(exchange: Exchange, under: Circumstances) -> Checked:
    text, root = _signed_text(exchange, under, EvidenceCode.TCB_INFO_INVALID_SIGNATURE)
    fields = Fields.parse(text, what="evaluation numbers", error=refusal(EvidenceCode.MALFORMED))
    tee = fields.text("id")
    require(tee == exchange.request.tee, EvidenceCode.TCB_INFO_MISMATCH, f"the evaluation numbers are for {tee[:16]!r}")
    known = [each.number("tcbEvaluationDataNumber", limit=_MAX_NUMBER) for each in fields.objects("tcbEvalNumbers")]
    return Checked(
        root_key_id=root.anchor.root_key_id,
        subject=f"evaluation numbers {tee}",
        number=max(known, default=0),
        span=Span(kind=exchange.request.kind, issued=fields.date("issueDate"), until=fields.date("nextUpdate")),
    )


def _read_crl(exchange: Exchange, what: str) -> Crl:
    return parse_crl(crl_der(exchange.request, exchange.answer), what=what, error=refusal(EvidenceCode.MALFORMED))


def _root_list(exchange: Exchange, under: Circumstances) -> Checked:
    """The root signs its own list, so an anchor's key decides; names are compared when a quote is verified."""
    crl = _read_crl(exchange, "root CRL")
    for anchor in under.anchors:
        if signed_der(anchor.public_key, crl.signature, crl.signed):
            return _of_crl(crl, exchange, anchor.root_key_id, "root CRL")
    raise EvidenceRefused("the root CRL is signed by none of the root keys trusted here",
                          reason=EvidenceCode.CRL_INVALID_SIGNATURE, fix=_OTHER_ROOT)  # fmt: skip


def _pck_list(exchange: Exchange, under: Circumstances) -> Checked:
    crl = _read_crl(exchange, "PCK CRL")
    chain = pem_chain(issuer_chain(exchange.request, exchange.answer), "the issuer chain of the PCK CRL")
    root = find_root((chain,), under.anchors, at=under.at)
    role = exchange.request.parameters["ca"]
    _check_ca(chain, root, _CA_ROLES[role], under)
    require(crl.issuer == chain[0].subject, EvidenceCode.CRL_UNKNOWN_ISSUER, "another authority issued the PCK CRL")
    require(signed_der(chain[0].point, crl.signature, crl.signed), EvidenceCode.CRL_INVALID_SIGNATURE,
            f"the PCK CRL is not signed by {chain[0].common_name!r}")  # fmt: skip
    return _of_crl(crl, exchange, root.anchor.root_key_id, f"PCK CRL {role}")


def _check_ca(chain: Sequence[Certificate], root: TrustedRoot, role: str, under: Circumstances) -> None:
    require(len(chain) == 2, EvidenceCode.PCK_CHAIN, f"the chain has {len(chain)} certificates, wanted PCK CA and root")
    ca, wanted = chain[0], f"{root.anchor.cn_prefix} {role}"
    require(ca.common_name == wanted and ca.is_ca, EvidenceCode.INTERMEDIATE_CA,
            f"the PCK CA is named {ca.common_name[:64]!r}, wanted {wanted!r}")  # fmt: skip
    _check_issued(ca, root.certificate, EvidenceCode.INTERMEDIATE_INVALID_ISSUER)
    require(ca.since <= under.at <= ca.until, EvidenceCode.PCK_CHAIN_EXPIRED, "the PCK CA is not valid at this time")
    require(ca.serial not in _root_crl(under).revoked, EvidenceCode.INTERMEDIATE_REVOKED, "the PCK CA was revoked")


def _check_issued(certificate: Certificate, issuer: Certificate, code: EvidenceCode) -> None:
    named = certificate.issuer == issuer.subject
    require(named and signed_der(issuer.point, certificate.signature, certificate.signed), code,
            f"{certificate.common_name[:64]!r} was not issued by {issuer.common_name[:64]!r}")  # fmt: skip


def _of_crl(crl: Crl, exchange: Exchange, root_key_id: str, subject: str) -> Checked:
    span = Span(kind=exchange.request.kind, issued=crl.this_update, until=crl.next_update)
    return Checked(root_key_id=root_key_id, subject=subject, number=crl.number, span=span, crl=crl)


def _pck_certificate(exchange: Exchange, under: Circumstances) -> Checked:
    """A PCK certificate for the platform that was asked for. Its revocation is judged with the quote."""
    pem = pck_chain(exchange)
    chain = pem_chain(pem, "the PCK chain")
    root = check_links(chain, under.anchors, at=under.at)
    claims, asked, tcbm = read_pck_claims(chain[0]), exchange.request.parameters, pck_tcbm(exchange)
    require(claims.pce_id.hex().upper() == asked["pceid"], EvidenceCode.INVALID_PCK_CERT,
            "the PCK certificate is for another PCE than was asked for")  # fmt: skip
    made_for = (claims.cpu_svn + claims.pce_svn.to_bytes(2, "little")).hex()
    require(tcbm == made_for, EvidenceCode.INVALID_PCK_CERT,
            f"{TCBM_HEADER} says {tcbm}, the PCK certificate was made for {made_for}")  # fmt: skip
    return Checked(
        root_key_id=root.anchor.root_key_id,
        subject=f"PCK certificate {tcbm}",
        number=0,
        span=Span(kind=exchange.request.kind, issued=chain[0].since, until=chain[0].until),
    )


def pck_chain(exchange: Exchange) -> str:
    """Return the PCK chain of a `pckcert` answer, PEM, leaf first."""
    try:
        leaf = exchange.answer.body.decode("ascii")
    except UnicodeDecodeError:
        raise BadAnswer("the answer to pckcert is not PEM") from None
    return f"{leaf.rstrip()}\n{issuer_chain(exchange.request, exchange.answer)}"


def pck_tcbm(exchange: Exchange) -> str:
    """Return CPUSVN and PCESVN that a `pckcert` answer is for, 36 hex digits."""
    value = exchange.answer.header(TCBM_HEADER) or ""
    if len(value) != 36 or not all(digit in "0123456789abcdefABCDEF" for digit in value):
        raise BadAnswer(f"the answer to pckcert has no header {TCBM_HEADER} of 36 hex digits")
    return value.lower()


_CHECKERS: Final[Mapping[Kind, Callable[[Exchange, Circumstances], Checked]]] = {
    Kind.TCB: _tcb_info,
    **dict.fromkeys(IDENTITIES, _identity),
    Kind.TCB_EVAL_NUMBERS: _numbers,
    Kind.ROOT_CRL: _root_list,
    Kind.PCK_CRL: _pck_list,
    Kind.PCK_CERT: _pck_certificate,
}
