"""PCK certificates as a PCCS hands them out: chosen by platform and TCB, with the TCB they were made for. Pure.

Source: specification sections 3 and 11.1. The SGX extension of the certificate decides; what was said beside it counts
only where it agrees.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote

from strongroom.attestation import EvidenceRefused, PckClaims
from strongroom.attestation.certificates import parse_pem_chain
from strongroom.attestation.pck import read_pck_claims
from strongroom.collateral.api import CA_TYPE_HEADER, FMSPC_HEADER, TCBM_HEADER, Answer, Request
from strongroom.collateral.pccs.backend import found
from strongroom.errors import BadInput

CA_TYPES: Final = ("platform", "processor")
CPU_SVN_DIGITS: Final = 32  # of the 36 hex digits of a TCBm


class PckCertificateUnusable(BadInput):
    """A PCK certificate or its chain cannot be read, or it is not for the platform or TCB it is said to be for."""

    code = "SR-PCK-CERTIFICATE"
    fix = "Hand over PCK certificates with their issuer chains exactly as Intel's service returned them."


@dataclass(frozen=True, slots=True, kw_only=True)
class PckCertificate:
    """A PCK certificate that can be served.

    `leaf`, `chain`: PEM, the chain from the issuing CA to the root. `qe_id`, `encrypted_ppid`: upper-case hex, whose
    machine it is; where both are None it is served for its exact TCB alone.
    """

    leaf: str
    chain: str
    claims: PckClaims
    ca: str
    qe_id: str | None = None
    encrypted_ppid: str | None = None
    matches_chain: bool = True  # the leaf names the chain's CA as its issuer

    @classmethod
    def read(cls, leaf: str, chain: str, *, qe_id: str | None = None, encrypted_ppid: str | None = None) -> Self:
        """Return the certificate in PEM texts; raise PckCertificateUnusable."""
        try:
            leaves = parse_pem_chain(leaf.encode(), what="PCK certificate", error=PckCertificateUnusable)
            issuers = parse_pem_chain(chain.encode(), what="issuer chain", error=PckCertificateUnusable)
            claims = read_pck_claims(leaves[0]) if len(leaves) == 1 else None
        except (EvidenceRefused, UnicodeEncodeError, IndexError) as problem:
            raise PckCertificateUnusable(f"a PCK certificate cannot be read: {problem}") from None
        ca = next((kind for kind in CA_TYPES if issuers and kind in issuers[0].common_name.lower()), None)
        if claims is None or ca is None:
            raise PckCertificateUnusable("wanted one PCK certificate and the chain of its Platform or Processor CA")
        return cls(leaf=leaf, chain=chain, claims=claims, ca=ca, qe_id=qe_id, encrypted_ppid=encrypted_ppid,
                   matches_chain=leaves[0].issuer == issuers[0].subject)  # fmt: skip

    @property
    def tcbm(self) -> str:
        """CPUSVN and PCESVN (little-endian), 36 hex digits: the TCB the certificate was made for."""
        return (self.claims.cpu_svn + self.claims.pce_svn.to_bytes(2, "little")).hex().upper()

    @property
    def fmspc(self) -> str:
        """The FMSPC, 12 upper-case hex digits."""
        return self.claims.fmspc.hex().upper()

    def is_for(self, request: Request) -> bool:
        """Return whether the certificate belongs to the machine that the request names."""
        if bytes.fromhex(request.parameters["pceid"]) != self.claims.pce_id:
            return False
        for name, own in (("qeid", self.qe_id), ("encrypted_ppid", self.encrypted_ppid)):
            if own is not None and name in request.parameters:
                return request.parameters[name] == own
        return self.qe_id is None and self.encrypted_ppid is None

    def serves(self, request: Request) -> bool:
        """Return whether the machine, at the TCB that the request names, may use this certificate."""
        if self.qe_id is None and self.encrypted_ppid is None:
            return self.tcbm == request.parameters["cpusvn"] + request.parameters["pcesvn"]
        cpu_svn = bytes.fromhex(request.parameters["cpusvn"])
        pce_svn = int.from_bytes(bytes.fromhex(request.parameters["pcesvn"]), "little")
        lower = all(own <= here for own, here in zip(self.claims.components, cpu_svn, strict=True))
        return lower and self.claims.pce_svn <= pce_svn


def best_certificate(request: Request, certificates: Iterable[PckCertificate]) -> Answer | None:
    """Answer `pckcert`: of the machine's certificates the one for the highest TCB that its TCB is not below."""
    fitting = [each for each in certificates if each.is_for(request) and each.serves(request)]
    best = max(fitting, key=lambda each: (each.claims.components, each.claims.pce_svn), default=None)
    if best is None:
        return None
    return _labelled(request, best, best.leaf.encode("ascii"), tcbm=best.tcbm)


def certificate_list(request: Request, certificates: Iterable[PckCertificate]) -> Answer | None:
    """Answer `pckcerts`: all certificates of the machine, for every TCB."""
    fitting = [each for each in certificates if each.encrypted_ppid is not None and each.is_for(request)]
    if not fitting:
        return None
    listed = [{"tcb": _tcb(each.claims), "tcbm": each.tcbm, "cert": quote(each.leaf, safe="")} for each in fitting]
    return _labelled(request, fitting[0], json.dumps(listed, separators=(",", ":")).encode("ascii"))


def leaf_and_chain(pem: str) -> tuple[str, str]:
    """Split a chain, leaf first, into the leaf and its issuers; raise PckCertificateUnusable."""
    end = "-----END CERTIFICATE-----\n"
    leaf, mark, rest = pem.replace("\r\n", "\n").strip().strip("\0").partition(end)
    if not mark or not rest:
        raise PckCertificateUnusable("a chain of PCK certificate, CA and root is wanted")
    return leaf + mark, rest if rest.endswith("\n") else rest + "\n"


def _labelled(request: Request, certificate: PckCertificate, body: bytes, *, tcbm: str | None = None) -> Answer:
    plain = found(request, body, chain=certificate.chain)
    labels = {FMSPC_HEADER: certificate.fmspc, CA_TYPE_HEADER: certificate.ca}
    if tcbm is not None:
        labels[TCBM_HEADER] = tcbm
    return Answer(status=plain.status, headers={**plain.headers, **labels}, body=plain.body)


def _tcb(claims: PckClaims) -> dict[str, int]:
    components: Sequence[int] = claims.components
    named = {f"sgxtcbcomp{place:02d}svn": svn for place, svn in enumerate(components, start=1)}
    return {**named, "pcesvn": claims.pce_svn}
