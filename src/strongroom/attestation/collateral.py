"""Collateral: the signed reference data that make a quote checkable, as nine strings, and read once (section 4).

Collateral carries no trust: whoever hands it over may have made it. `CollateralParts` takes it apart without judging;
`reference.check_collateral` judges.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

from strongroom.attestation.certificates import Certificate, parse_pem_chain
from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, refusal, require
from strongroom.attestation.crl import Crl, parse_crl
from strongroom.attestation.intel_certificates import INTEL_CERTIFICATES
from strongroom.attestation.signatures import RAW_SIGNATURE_BYTES
from strongroom.errors import BadInput
from strongroom.wire import strict_json

MAX_PART_BYTES: Final = 1024 * 1024
MAX_CHAIN_BYTES: Final = 64 * 1024  # a genuine chain of three certificates has about 3 kB
MAX_COLLATERAL_FILE_BYTES: Final = 8 * MAX_PART_BYTES
_CRLS: Final = ("root_ca_crl", "pck_crl")
_OPTIONAL: Final = ("pck_certificate_chain", "pck_tcbm")


class CollateralUnreadable(BadInput):
    """A collateral file is not a JSON object of the nine strings."""

    code = "SR-COLLATERAL"
    fix = "Pass collateral in the nine-string shape that `strongroom sim collateral` and dcap-qvl write."


@dataclass(frozen=True, slots=True, kw_only=True)
class Collateral:
    """Nine strings: signed JSON exactly as served, signatures and CRLs in hex, chains in PEM, leaf first."""

    tcb_info: str
    tcb_info_signature: str
    tcb_info_issuer_chain: str
    qe_identity: str
    qe_identity_signature: str
    qe_identity_issuer_chain: str
    root_ca_crl: str
    pck_crl: str
    pck_crl_issuer_chain: str
    pck_certificate_chain: str | None = None  # only for quotes without their chain: PEM, leaf, PCK CA, root
    pck_tcbm: str | None = None  # what the answer with that chain said in SGX-TCBm: 36 hex digits

    @classmethod
    def from_json(cls, text: str | bytes) -> Collateral:
        """Return the collateral in a JSON object; other members are ignored, an absent CRL is empty."""
        value = strict_json.loads(
            text, what="collateral", error=CollateralUnreadable, max_bytes=MAX_COLLATERAL_FILE_BYTES
        )
        if not isinstance(value, dict):
            raise CollateralUnreadable("the collateral is not a JSON object")
        parts: dict[str, str] = {}
        for name in cls.__dataclass_fields__:
            part = value.get(name)
            if part is None and name in _OPTIONAL:
                continue
            if part is None and name in _CRLS:
                part = ""
            if not isinstance(part, str):
                raise CollateralUnreadable(f"the collateral's {name} is not a string")
            parts[name] = part
        return cls(**parts)

    def to_json(self) -> str:
        """Return the strings as one JSON object; what only some quotes need is left out where it is not there."""
        return json.dumps({name: part for name, part in asdict(self).items() if part is not None}, indent=1)


class CollateralParts:
    """The strings as bytes, each within its limit and not judged.

    A part is taken apart when the step of verification comes that needs it, so that of several faults the first in
    the order of the steps is reported.
    """

    __slots__ = ("_chains", "_known", "_parts", "_pck_crl")

    def __init__(self, collateral: Collateral) -> None:
        given = ((name, getattr(collateral, name)) for name in Collateral.__dataclass_fields__)
        self._parts = {name: _encode(name, text) for name, text in given if text is not None}
        self._known = dict(INTEL_CERTIFICATES)  # the chains share most of their certificates
        self._chains: dict[str, tuple[Certificate, ...]] = {}  # read once, asked for by several steps
        self._pck_crl: Crl | None = None  # read once, judged for each platform

    def ids(self) -> tuple[tuple[str, str], ...]:
        """Return SHA-256 of each part, hex, by name."""
        return tuple((name, hashlib.sha256(part).hexdigest()) for name, part in self._parts.items())

    def text(self, name: str) -> bytes:
        """Return a part as it is; empty where an optional one is absent."""
        return self._parts.get(name, b"")

    def signature(self, name: str, code: EvidenceCode) -> bytes:
        """Return the 64 bytes r‖s of a signature in hex; refuse anything else with `code`."""
        return _unhex(self.text(name), name, code, size=RAW_SIGNATURE_BYTES)

    def chain(self, name: str, code: EvidenceCode) -> tuple[Certificate, ...]:
        """Return the certificates of a PEM chain, leaf first; refuse anything else with `code`.

        Intel's libraries count the NUL that ends a C string to the chain; it is no part of it.
        """
        chain = self._chains.get(name)
        if chain is None:
            text = self.text(name).rstrip(b"\0")
            chain = self._chains[name] = parse_pem_chain(text, what=name, error=refusal(code), known=self._known)
        return chain

    def known(self) -> dict[bytes, Certificate]:
        """Return the certificates that were read so far, as `parse_pem_chain` keeps them: a copy, to be added to."""
        return dict(self._known)

    def root_crl(self) -> Crl:
        """Return the root's revocation list; refuse an absent one (CRL_MISSING) and a malformed one (MALFORMED)."""
        return self._crl("root_ca_crl", "root CRL")

    def pck_crl(self) -> Crl:
        """Return the PCK CA's revocation list, likewise. Its own chain must be a chain; the quote's PCK CA judges."""
        if self._pck_crl is None:
            crl = self._crl("pck_crl", "PCK CRL")
            self.chain("pck_crl_issuer_chain", EvidenceCode.MALFORMED)
            self._pck_crl = crl
        return self._pck_crl

    def _crl(self, name: str, what: str) -> Crl:
        require(bool(self.text(name)), EvidenceCode.CRL_MISSING, f"the collateral has no {name}")
        encoded = _unhex(self.text(name), name, EvidenceCode.MALFORMED)
        return parse_crl(encoded, what=what, error=refusal(EvidenceCode.MALFORMED))


def _encode(name: str, text: str) -> bytes:
    limit = MAX_CHAIN_BYTES if name.endswith("_chain") else MAX_PART_BYTES
    if len(text) > limit:
        raise EvidenceRefused(
            f"the collateral's {name} has {len(text)} characters, at most {limit} are read",
            reason=EvidenceCode.TOO_LARGE,
        )
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise EvidenceRefused(f"the collateral's {name} is not text", reason=EvidenceCode.MALFORMED) from None


def _unhex(text: bytes, name: str, code: EvidenceCode, *, size: int | None = None) -> bytes:
    try:
        raw = binascii.unhexlify(text)  # unlike bytes.fromhex, it reads no white space
    except binascii.Error:
        raise EvidenceRefused(f"the collateral's {name} is not hex", reason=code) from None
    require(size is None or len(raw) == size, code, f"the collateral's {name} has {len(raw)} bytes, wanted {size}")
    return raw
