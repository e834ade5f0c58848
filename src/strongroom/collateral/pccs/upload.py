"""Take a `platformcollateral` upload apart into answers to keep. Pure.

The shape is that of Intel's PCCS (its administration tool writes it): machines, their PCK certificates, TCB infos as
JSON objects, identities as texts, CRLs in hex, chains URL-encoded. The TCB infos have gone through a JSON writer, so
they are put back into Intel's compact form here; whether that is what was signed, the check of signatures tells.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote

from strongroom.collateral.api import BadCollateralRequest, Kind, Request, decode_chain
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.pccs.backend import found
from strongroom.collateral.pccs.pck_certificates import CPU_SVN_DIGITS, PckCertificate, best_certificate
from strongroom.collateral.pccs.shelf import Document
from strongroom.errors import BadInput
from strongroom.wire import strict_json

MAX_ITEMS: Final = 1000
_FIELDS: Final = {
    "pce_id": re.compile(r"[0-9A-Fa-f]{4}"),
    "cpu_svn": re.compile(r"([0-9A-Fa-f]{32})?"),
    "pce_svn": re.compile(r"([0-9A-Fa-f]{4})?"),
    "enc_ppid": re.compile(r"([0-9A-Fa-f]{768})?"),
    "platform_manifest": re.compile(r"([0-9A-Fa-f]{0,131072})?"),
    "qe_id": re.compile(r"[0-9A-Fa-f]{32}"),
}
_TCB_INFOS: Final = {
    3: (("tcbinfo", False), ("tcbinfo_early", True)),
    4: (("sgx_tcbinfo", False), ("sgx_tcbinfo_early", True), ("tdx_tcbinfo", False), ("tdx_tcbinfo_early", True)),
}
_IDENTITIES: Final = ("qeidentity", "tdqeidentity", "qveidentity", "qaeidentity")


class UploadUnusable(BadInput):
    """A registration of a machine, or an upload of collateral, is not what the PCCS's API says, or does not verify."""

    code = "SR-PCCS-UPLOAD"
    fix = "Write it with Intel's PCCS administration tool or PCK ID retrieval tool and send it unchanged."


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine's provisioning tool says of it: upper-case hex, as PCCS names it; empty where not said."""

    qe_id: str
    pce_id: str
    cpu_svn: str = ""
    pce_svn: str = ""
    enc_ppid: str = ""
    platform_manifest: str = ""

    @classmethod
    def read(cls, value: object) -> Machine:
        """Return the machine in a JSON object; raise UploadUnusable."""
        if not isinstance(value, dict):
            raise UploadUnusable("a machine is not a JSON object")
        return cls(**{name: _checked(name, value.get(name)) for name in _FIELDS})

    @property
    def name(self) -> str:
        """A name for files and logs that does not tell which machine it is."""
        return hashlib.sha256(f"{self.qe_id} {self.pce_id}".encode("ascii")).hexdigest()[:32]


def read_machine(body: bytes) -> Machine:
    """Return the machine in a registration; raise UploadUnusable."""
    return Machine.read(strict_json.loads(body, what="the registration", error=UploadUnusable))


def read_upload(body: bytes, version: int) -> tuple[Exchange, ...]:
    """Return what an upload brings; raise UploadUnusable."""
    whole = strict_json.loads(body, what="the upload", error=UploadUnusable)
    collaterals = whole.get("collaterals") if isinstance(whole, dict) else None
    if not isinstance(collaterals, dict):
        raise UploadUnusable("the upload has no object named collaterals")
    try:
        return (
            *_documents(collaterals, version),
            *_crls(collaterals),
            *_certificates(collaterals),
        )
    except (BadCollateralRequest, KeyError, TypeError, AttributeError, ValueError) as problem:
        raise UploadUnusable(f"the upload is not of the PCCS's shape: {type(problem).__name__} {problem}") from None


def _documents(collaterals: Mapping[str, Any], version: int) -> Iterator[Exchange]:
    certificates = collaterals["certificates"]
    chain = decode_chain(certificates.get("TCB-Info-Issuer-Chain") or certificates.get("SGX-TCB-Info-Issuer-Chain", ""))
    for each in _items(collaterals["tcbinfos"]):
        for member, early in _TCB_INFOS[version]:
            if each.get(member) is not None:
                body = json.dumps(each[member], separators=(",", ":"), ensure_ascii=False)
                yield _document(body.encode("utf-8"), chain, early=early, version=version)
    chain = decode_chain(certificates.get("SGX-Enclave-Identity-Issuer-Chain", ""))
    for member in _IDENTITIES:
        for name, early in ((member, False), (f"{member}_early", True)):
            if collaterals.get(name):
                yield _document(collaterals[name].encode("utf-8"), chain, early=early, version=version)


def _document(body: bytes, chain: str, *, early: bool, version: int) -> Exchange:
    document = Document.read(body, chain)
    parameters = {"fmspc": document.fmspc} if document.kind is Kind.TCB else {}
    parameters["update"] = "early" if early else "standard"
    request = Request(kind=document.kind, tee=document.tee, version=version, parameters=parameters)
    return Exchange(request, found(request, body, chain=chain))


def _crls(collaterals: Mapping[str, Any]) -> Iterator[Exchange]:
    chains = collaterals["certificates"]["SGX-PCK-Certificate-Issuer-Chain"]
    lists = collaterals.get("pckcacrl") or {}
    for text, chain, parameters in (
        (lists.get("processorCrl"), chains.get("PROCESSOR", ""), {"ca": "processor", "encoding": "der"}),
        (lists.get("platformCrl"), chains.get("PLATFORM", ""), {"ca": "platform", "encoding": "der"}),
        (collaterals.get("rootcacrl"), "", {}),
    ):
        if text:
            request = Request(kind=Kind.PCK_CRL if parameters else Kind.ROOT_CRL, parameters=parameters)
            body = bytes.fromhex(text)
            yield Exchange(request, found(request, body, chain=decode_chain(chain)))


def _certificates(collaterals: Mapping[str, Any]) -> Iterator[Exchange]:
    chains = collaterals["certificates"]["SGX-PCK-Certificate-Issuer-Chain"]
    for each in _items(collaterals["pck_certs"]):
        machine = Machine.read(each)
        for entry in _items(each["certs"]):
            leaf = unquote(entry["cert"], encoding="ascii", errors="strict")
            certificate = next(_readable(leaf, chains), None)
            if certificate is None:
                raise UploadUnusable("a PCK certificate has no issuer chain in the upload")
            said = (str(entry["tcbm"]).upper(), machine.pce_id)
            if (certificate.tcbm, certificate.claims.pce_id.hex().upper()) != said:
                raise UploadUnusable("a PCK certificate is for another TCB or PCE than the upload says")
            yield _certificate(machine, certificate)


def _certificate(machine: Machine, certificate: PckCertificate) -> Exchange:
    owned = replace(certificate, qe_id=machine.qe_id, encrypted_ppid=machine.enc_ppid or None)
    parameters = {"qeid": machine.qe_id, "pceid": machine.pce_id, "cpusvn": certificate.tcbm[:CPU_SVN_DIGITS],
                  "pcesvn": certificate.tcbm[CPU_SVN_DIGITS:]}  # fmt: skip
    if machine.enc_ppid:
        parameters["encrypted_ppid"] = machine.enc_ppid
    request = Request(kind=Kind.PCK_CERT, parameters=parameters)
    answer = best_certificate(request, [owned])
    if answer is None:
        raise UploadUnusable("a PCK certificate is for another TCB than its own components say")
    return Exchange(request, answer)


def _readable(leaf: str, chains: Mapping[str, str]) -> Iterator[PckCertificate]:
    """Yield the certificate with the chain of the CA that issued it, where that is among the chains."""
    for text in chains.values():
        certificate = PckCertificate.read(leaf, decode_chain(text))
        if certificate.matches_chain:
            yield certificate


def _items(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise UploadUnusable(f"a list is wanted, of at most {MAX_ITEMS} items")
    return value


def _checked(name: str, value: object) -> str:
    text = "" if value is None else value
    if not isinstance(text, str) or not _FIELDS[name].fullmatch(text):
        raise UploadUnusable(f"a machine's {name} is missing or malformed")
    return text.upper()
