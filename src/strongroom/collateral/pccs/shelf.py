"""Reference data in memory, found by request: signed documents, CRLs, PCK certificates. Pure, a Backend by itself.

Nothing is made up: signed bytes leave as they came. A CRL is re-encoded (PEM, DER, hex), which its signature survives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from strongroom.attestation import Tee
from strongroom.collateral.api import Answer, BadCollateralRequest, Kind, Request
from strongroom.collateral.pccs.backend import GONE_ANSWER, crl_answer, found
from strongroom.collateral.pccs.pck_certificates import PckCertificate, best_certificate, certificate_list
from strongroom.errors import BadInput
from strongroom.wire import strict_json

ROOT: Final = "root"
_IDENTITY_IDS: Final = {
    "QE": (Kind.QE_IDENTITY, Tee.SGX),
    "TD_QE": (Kind.QE_IDENTITY, Tee.TDX),
    "QVE": (Kind.QVE_IDENTITY, Tee.SGX),
    "QAE": (Kind.QAE_IDENTITY, Tee.SGX),
}
_MEMBERS: Final = ("tcbInfo", "enclaveIdentity", "tcbEvaluationDataNumbers")
_TCB_VERSIONS: Final = {2: frozenset({3}), 3: frozenset({4})}  # document version: version of the API that serves it
_V4_ONLY: Final = frozenset({4})
_BOTH: Final = frozenset({3, 4})


class Edition(StrEnum):
    """Which question a document answers: the standard or the early update, or one evaluation number alone."""

    STANDARD = "standard"
    EARLY = "early"
    NUMBER = "number"


class DocumentUnusable(BadInput):
    """A document that the PCCS is to serve is none of TCB info, enclave identity, evaluation numbers."""

    code = "SR-PCCS-DOCUMENT"
    fix = "Use answers exactly as Intel's service gave them, or collateral files that strongroom or dcap-qvl wrote."


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A signed JSON document as it is served. `edition`: what it was published, or recorded, for."""

    kind: Kind
    tee: Tee
    versions: frozenset[int]  # of the API
    fmspc: str  # of TCB info; empty for others
    number: int  # tcbEvaluationDataNumber; 0 for the list of these numbers
    lowest: int  # of a list of numbers, the lowest one that still counts; else 0
    edition: Edition
    issued: str  # YYYY-MM-DDThh:mm:ssZ, which sorts by time
    body: bytes
    chain: str  # PEM, signer first

    @classmethod
    def read(
        cls,
        body: bytes,
        chain: str,
        *,
        edition: Edition = Edition.STANDARD,
        versions: frozenset[int] | None = None,
    ) -> Document:
        """Return the document in a body as served; raise DocumentUnusable. `versions` narrows where it is served."""
        whole = strict_json.loads(body, what="the document", error=DocumentUnusable)
        member = next((name for name in _MEMBERS if isinstance(whole, dict) and name in whole), None)
        if member is None or not isinstance(whole[member], dict):
            raise DocumentUnusable(f"the document holds none of {', '.join(_MEMBERS)}")
        try:
            document = _described(member, whole[member], edition=edition, body=body, chain=chain)
        except (KeyError, TypeError, ValueError):
            raise DocumentUnusable(f"the {member} lacks its id, version, number or date") from None
        return document if versions is None else replace(document, versions=versions)

    def fits(self, request: Request) -> bool:
        """Return whether the request asks for this document, in whichever edition."""
        return (
            self.kind is request.kind
            and self.tee is request.tee
            and request.version in self.versions
            and self.fmspc == request.parameters.get("fmspc", "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A CRL. `issuer`: root, platform or processor; `chain`: PEM."""

    issuer: str
    issued: datetime
    der: bytes
    chain: str = ""
    pem: bytes | None = None  # as it was received, where it was


class Shelf:
    """What can be served at one moment. Values in, answers out: it never changes."""

    def __init__(
        self,
        *,
        documents: Iterable[Document] = (),
        crls: Iterable[RevocationList] = (),
        certificates: Iterable[PckCertificate] = (),
        platforms: bytes | None = None,
        root_crl_urls: frozenset[str] = frozenset(),
    ) -> None:
        self._documents = tuple(documents)
        self._crls = tuple(crls)
        self._certificates = tuple(certificates)
        self._platforms = platforms  # the JSON list of FMSPCs, unsigned
        self._root_crl_urls = root_crl_urls

    def answer(self, request: Request) -> Answer | None:
        """Return the answer to a request, or None."""
        match request.kind:
            case Kind.TCB | Kind.QE_IDENTITY | Kind.QVE_IDENTITY | Kind.QAE_IDENTITY | Kind.TCB_EVAL_NUMBERS:
                return self._document(request)
            case Kind.PCK_CRL | Kind.ROOT_CRL:
                return self._crl(request, request.parameters.get("ca", ROOT))
            case Kind.CRL:
                return self._crl_at(request, request.parameters["uri"])
            case Kind.PCK_CERT:
                return best_certificate(request, self._certificates)
            case Kind.PCK_CERTS:
                return certificate_list(request, self._certificates)
            case Kind.FMSPCS:
                return self._fmspcs(request)

    def _document(self, request: Request) -> Answer | None:
        fitting = [each for each in self._documents if each.fits(request)]
        number = request.parameters.get("tcbEvaluationDataNumber")
        if number is not None:
            if not any(each.number == int(number) for each in fitting) and int(number) < self._lowest(request, fitting):
                return GONE_ANSWER
            wanted = [each for each in fitting if each.number == int(number)]
        else:
            edition = request.parameters.get("update", Edition.STANDARD)
            wanted = [each for each in fitting if each.edition == edition]
        newest = max(wanted, key=lambda each: (number is not None and each.edition == Edition.NUMBER, each.number,
                                               each.issued), default=None)  # fmt: skip
        return None if newest is None else found(request, newest.body, chain=newest.chain)

    def _lowest(self, request: Request, fitting: Iterable[Document]) -> int:
        """Return the lowest evaluation number that still counts: listed, or else the lowest that is here."""
        listed = [each.lowest for each in self._documents if each.lowest and each.tee is request.tee]
        return min(listed or [each.number for each in fitting], default=0)

    def _crl(self, request: Request, issuer: str) -> Answer | None:
        der = request.kind is not Kind.PCK_CRL or request.parameters.get("encoding") == "der"
        held = [each for each in self._crls if each.issuer == issuer]
        # As it was received goes before newest: a recording made of each encoding replays each.
        newest = max(held, key=lambda each: ((each.pem is None) == der, each.issued), default=None)
        return None if newest is None else crl_answer(request, newest.der, chain=newest.chain, pem=newest.pem)

    def _crl_at(self, request: Request, uri: str) -> Answer | None:
        """Return the CRL whose place, according to the certificates it belongs to, is this URI."""
        if uri in self._root_crl_urls:
            return self._crl(request, ROOT)
        parts = urlsplit(uri)
        try:
            meant = Request.parse(parts.path, parts.query)
        except BadCollateralRequest:
            return None
        return self._crl(request, meant.parameters["ca"]) if meant.kind is Kind.PCK_CRL else None

    def _fmspcs(self, request: Request) -> Answer | None:
        if self._platforms is None:
            return None
        wanted = request.parameters.get("platform", "all")
        if wanted == "all":
            return found(request, self._platforms)
        listed = strict_json.loads(self._platforms, what="the list of FMSPCs", error=DocumentUnusable)
        kept = [each for each in listed if each["platform"] == wanted]
        return found(request, json.dumps(kept, separators=(",", ":")).encode("ascii"))


def _described(member: str, value: Mapping[str, object], *, edition: Edition, body: bytes, chain: str) -> Document:
    """Return a document by what it says of itself; raise KeyError, TypeError or ValueError where it does not."""
    fmspc, lowest, number = "", 0, 0
    if member == "tcbEvaluationDataNumbers":
        kind, tee, versions = Kind.TCB_EVAL_NUMBERS, Tee(_text(value["id"])), _V4_ONLY
        numbers = value["tcbEvalNumbers"]
        lowest = min(_number(each) for each in numbers if isinstance(each, dict)) if isinstance(numbers, list) else 0
    else:
        number = _number(value)
        if member == "tcbInfo":
            kind, tee = Kind.TCB, Tee(_text(value.get("id", "SGX")))
            versions, fmspc = _TCB_VERSIONS[_integer(value["version"])], _text(value["fmspc"]).upper()
        else:
            kind, tee = _IDENTITY_IDS[_text(value["id"])]
            versions = _V4_ONLY if tee is Tee.TDX or kind is Kind.QAE_IDENTITY else _BOTH
    return Document(kind=kind, tee=tee, versions=versions, fmspc=fmspc, number=number, lowest=lowest, edition=edition,
                    issued=_text(value["issueDate"]), body=body, chain=chain)  # fmt: skip


def _number(value: Mapping[str, object]) -> int:
    return _integer(value["tcbEvaluationDataNumber"])


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
