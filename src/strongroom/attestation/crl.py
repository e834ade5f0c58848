"""Read certificate revocation lists, version 2, and ask them (specification section 4.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom.attestation.certificates import ECDSA_SHA256, Certificate
from strongroom.attestation.codes import EvidenceCode, require
from strongroom.attestation.signatures import signed_der
from strongroom.attestation.validity import NO_GRACE, Window
from strongroom.errors import StrongroomError
from strongroom.wire import der
from strongroom.wire.der import DerReader

_CRL_NUMBER: Final = "2.5.29.20"
_AUTHORITY_KEY_ID: Final = "2.5.29.35"

Fault = Callable[[str], StrongroomError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crl:
    """A revocation list, taken apart; its signature is not yet checked."""

    what: str
    signed: bytes  # the TBSCertList
    signature: bytes  # DER
    issuer: bytes  # encoded name
    this_update: datetime
    next_update: datetime
    number: int
    revoked: frozenset[int]  # serial numbers

    def check(self, issuer: Certificate, *, at: datetime, grace: timedelta = NO_GRACE) -> Window:
        """Check the list's issuer, signature and dates; return its window for later questions."""
        require(self.issuer == issuer.subject, EvidenceCode.CRL_UNKNOWN_ISSUER,
                f"the {self.what} was issued by another authority than {issuer.common_name}")  # fmt: skip
        require(signed_der(issuer.point, self.signature, self.signed), EvidenceCode.CRL_INVALID_SIGNATURE,
                f"the {self.what} is not signed by {issuer.common_name}")  # fmt: skip
        window = Window(self.what, self.this_update, self.next_update, EvidenceCode.CRL_EXPIRED, excusable=True)
        window.require(at, grace)
        return window


def parse_crl(data: bytes, *, what: str, error: Fault) -> Crl:
    """Return the revocation list that `data` consists of; CRLNumber, authority key and nextUpdate must be there."""
    outer = der.read_whole(data, der.SEQUENCE, what=what, error=error)
    signed = outer.read(der.SEQUENCE, "signed part")
    _expect_algorithm(outer)
    signature = outer.bits("signature")
    outer.end()
    tbs = outer.inside(signed)
    if tbs.integer("version") != 1:
        raise tbs.fault("the revocation list is not of version 2")
    _expect_algorithm(tbs)
    issuer = tbs.read(der.SEQUENCE, "issuer").encoded
    this_update, next_update = tbs.time("thisUpdate"), tbs.time("nextUpdate")
    revoked = _revoked(tbs) if tbs.peek() == der.SEQUENCE else frozenset()
    number = _extensions(tbs.enter(der.context(0), "extensions"))
    tbs.end()
    return Crl(
        what=what,
        signed=signed.encoded,
        signature=signature,
        issuer=issuer,
        this_update=this_update,
        next_update=next_update,
        number=number,
        revoked=revoked,
    )


def _expect_algorithm(reader: DerReader) -> None:
    if reader.any("signature algorithm").encoded != ECDSA_SHA256:
        raise reader.fault("the signature algorithm is not ECDSA with SHA-256")


def _revoked(tbs: DerReader) -> frozenset[int]:
    """Return the listed serial numbers. Reasons do not matter: whoever is listed is out."""
    serials = set()
    for entry in tbs.enter(der.SEQUENCE, "revoked certificates").each(der.SEQUENCE, "revoked certificate"):
        serials.add(entry.integer("serial number"))
        entry.time("revocation date")
        entry.optional(der.SEQUENCE, "entry extensions")
        entry.end()
    return frozenset(serials)


def _extensions(outer: DerReader) -> int:
    """Return the CRL number. A critical extension would limit what the list covers, so there must be none."""
    listing = outer.enter(der.SEQUENCE, "list")
    outer.end()
    values: dict[str, bytes] = {}
    for entry in listing.each(der.SEQUENCE, "extension"):
        kind = entry.oid("extension identifier")
        if kind in values:
            raise entry.fault(f"the extension {kind[:64]} occurs twice")
        if entry.peek() == der.BOOLEAN and entry.boolean("critical"):
            raise entry.fault(f"the critical extension {kind[:64]} is not understood")
        values[kind] = entry.octets("extension value")
        entry.end()
    if _CRL_NUMBER not in values or _AUTHORITY_KEY_ID not in values:
        raise listing.fault("CRLNumber and AuthorityKeyIdentifier are not both there")
    number = DerReader(values[_CRL_NUMBER], what="CRL number", error=listing.fault)
    value = number.integer("value")
    number.end()
    return value
