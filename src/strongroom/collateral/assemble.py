"""From answers of the certification API to the nine strings that a verifier reads, byte for byte.

Pure; nothing is judged here. Signed JSON is sliced out of the body as it was served, chains are URL-decoded, and a CRL
may come as DER, PEM or the hex text that old PCCS servers send (specification sections 4.3 and 11.2).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.attestation import Collateral
from strongroom.collateral.api import Answer, BadCollateralRequest, Kind, Request, chain_headers, decode_chain
from strongroom.errors import Tampered
from strongroom.wire import strict_json

_MEMBER: Final[Mapping[Kind, str]] = {
    Kind.TCB: "tcbInfo",
    Kind.QE_IDENTITY: "enclaveIdentity",
    Kind.QVE_IDENTITY: "enclaveIdentity",
    Kind.QAE_IDENTITY: "enclaveIdentity",
    Kind.TCB_EVAL_NUMBERS: "tcbEvaluationDataNumbers",
}
_SIGNATURE: Final = re.compile(r"[0-9A-Fa-f]{128}")
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()
_PEM_CRL: Final = re.compile(rb"\s*-----BEGIN X509 CRL-----\r?\n([A-Za-z0-9+/=\r\n]+?)\r?\n?-----END X509 CRL-----\s*")
_HEX_TEXT: Final = re.compile(rb"\s*[0-9A-Fa-f]+\s*")
_DER_SEQUENCE: Final = 0x30


class BadAnswer(Tampered):
    """A collateral source answered something that is not what the certification API says."""

    code = "SR-COLLATERAL-ANSWER"
    fix = "Ask another source; run strongroom collateral doctor to see what each of them says."


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed JSON value exactly as served, its signature (128 hex digits) and its signer's chain (PEM)."""

    text: str
    signature: str
    chain: str


def signed_json(request: Request, answer: Answer) -> Signed:
    """Return the signed value in an answer; raise BadAnswer."""
    name = _MEMBER[request.kind]
    what = f"the answer to {request.kind.value}"
    strict_json.loads(answer.body, what=what, error=BadAnswer)  # from here on it is one JSON value without surprises
    members = _members(answer.body.decode("utf-8"))
    value, signature = members.get(name), members.get("signature")
    if value is None or signature is None or not value.startswith("{"):
        raise BadAnswer(f"{what} is not an object of {name} and signature")
    digits = json.loads(signature)
    if not isinstance(digits, str) or not _SIGNATURE.fullmatch(digits):
        raise BadAnswer(f"{what}: the signature is not 128 hex digits")
    return Signed(value, digits, issuer_chain(request, answer))


def issuer_chain(request: Request, answer: Answer) -> str:
    """Return the issuer chain in an answer's headers (PEM); raise BadAnswer."""
    names = chain_headers(request.kind, request.version)
    value = answer.header(*names)
    if value is None:
        raise BadAnswer(f"the answer to {request.kind.value} has no header {names[0]}")
    try:
        return decode_chain(value)
    except BadCollateralRequest as problem:
        raise BadAnswer(f"the answer to {request.kind.value}: {problem.sentence}") from None


def crl_der(request: Request, answer: Answer) -> bytes:
    """Return the CRL in an answer as DER, whatever it came as; raise BadAnswer."""
    body = answer.body
    if body[:1] == bytes([_DER_SEQUENCE]) and not _HEX_TEXT.fullmatch(body):
        return body
    if _HEX_TEXT.fullmatch(body) and len(body.strip()) % 2 == 0:
        return bytes.fromhex(body.decode("ascii").strip())
    found = _PEM_CRL.fullmatch(body)
    if found is None:
        raise BadAnswer(f"the answer to {request.kind.value} is a CRL neither in DER nor PEM nor hex")
    try:
        return base64.b64decode(found[1].replace(b"\r", b"").replace(b"\n", b""), validate=True)
    except binascii.Error as problem:
        raise BadAnswer(f"the answer to {request.kind.value}: {problem}") from None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer."""

    request: Request
    answer: Answer


def assemble(
    *, tcb: Exchange, qe_identity: Exchange, pck_crl: Exchange, root_crl: Exchange,
    pck_certificate_chain: str | None = None, pck_tcbm: str | None = None,
) -> Collateral:  # fmt: skip
    """Return the collateral that four answers make, with the PCK chain where the quote does not carry one."""
    info = signed_json(tcb.request, tcb.answer)
    identity = signed_json(qe_identity.request, qe_identity.answer)
    return Collateral(
        tcb_info=info.text,
        tcb_info_signature=info.signature,
        tcb_info_issuer_chain=info.chain,
        qe_identity=identity.text,
        qe_identity_signature=identity.signature,
        qe_identity_issuer_chain=identity.chain,
        root_ca_crl=crl_der(root_crl.request, root_crl.answer).hex(),
        pck_crl=crl_der(pck_crl.request, pck_crl.answer).hex(),
        pck_crl_issuer_chain=issuer_chain(pck_crl.request, pck_crl.answer),
        pck_certificate_chain=pck_certificate_chain,
        pck_tcbm=pck_tcbm,
    )


def _members(text: str) -> dict[str, str]:
    """Return the members of the JSON object `text`, each value as it is spelled; empty if it is no object.

    The text is known to be valid JSON of bounded depth.
    """
    found: dict[str, str] = {}
    position = _skip(text, 0)
    if text[position] != "{":
        return found
    position = _skip(text, position + 1)
    while text[position] != "}":
        name, position = _DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, position) + 1)  # over the colon
        _, end = _DECODER.raw_decode(text, start)
        found[name] = text[start:end]
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _skip(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position
