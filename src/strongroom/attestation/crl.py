"""Read certificate revocation lists, version 2, and ask them (specification section 4.5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom.attestation.certificates import Certificate, expect_algorithm, open_signed
from strongroom.attestation.codes import EvidenceCode, require
from strongroom.attestation.signatures import signed_der
from strongroom.attestation.validity import NO_GRACE, Window
from strongroom.errors import StrongroomError
from strongroom.wire import der
from strongroom.wire.der import DerReader

_MAX_NUMBER_OCTETS: Final = 20
# An entry as Intel writes it: a serial number of 20 bytes (or 21, the first of them zero), a time, a reason. Lists are
# long and their entries alike; a list in which one differs is read element by element.
_USUAL_ENTRY: Final = re.compile(
    rb"\x30(?:\x33\x02\x14(?=[\x01-\x7f])|\x34\x02\x15\x00(?=[\x80-\xff]))(.{20})"
    rb"\x17\x0d\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|1\d|2[0-8])(?:[01]\d|2[0-3])[0-5]\d[0-5]\dZ"
    rb"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01.",
    re.DOTALL,
)
_USUAL_BYTES: Final = 53
_TOP_BIT: Final = b"\x80"
_CRL_NUMBER: Final = der.oid_of("2.5.29.20")
_AUTHORITY_KEY_ID: Final = der.oid_of("2.5.29.35")

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

    def check(
        self, issuer: Certificate, *, at: datetime, grace: timedelta = NO_GRACE, step: int | None = None
    ) -> Window:
        """Check the list's issuer, signature and dates; return its window for later questions."""
        require(self.issuer == issuer.subject, EvidenceCode.CRL_UNKNOWN_ISSUER,
                f"the {self.what} was issued by another authority than {issuer.common_name}")  # fmt: skip
        require(signed_der(issuer.point, self.signature, self.signed), EvidenceCode.CRL_INVALID_SIGNATURE,
                f"the {self.what} is not signed by {issuer.common_name}")  # fmt: skip
        window = Window(
            self.what, self.this_update, self.next_update, EvidenceCode.CRL_EXPIRED, excusable=True, step=step
        )
        window.require(at, grace)
        return window


def parse_crl(data: bytes, *, what: str, error: Fault) -> Crl:
    """Return the revocation list that `data` consists of; CRLNumber, authority key and nextUpdate must be there."""
    signed, signature = open_signed(data, what=what, error=error)
    tbs = DerReader(signed, what=what, error=error)
    outer = tbs.open(der.SEQUENCE, "signed part")
    if tbs.integer("version") != 1:
        raise tbs.fault("the revocation list is not of version 2")
    expect_algorithm(tbs)
    issuer = tbs.encoded(der.SEQUENCE, "issuer")
    this_update, next_update = tbs.time("thisUpdate"), tbs.time("nextUpdate")
    revoked = _revoked(tbs) if tbs.peek() == der.SEQUENCE else frozenset()
    number = _extensions(tbs)
    tbs.close(outer)
    return Crl(
        what=what,
        signed=signed,
        signature=signature,
        issuer=issuer,
        this_update=this_update,
        next_update=next_update,
        number=number,
        revoked=revoked,
    )


def _revoked(tbs: DerReader) -> frozenset[int]:
    """Return the listed serial numbers. Reasons do not matter: whoever is listed is out."""
    listed = tbs.content(der.SEQUENCE, "revoked certificates")
    usual: list[bytes] = _USUAL_ENTRY.findall(listed)
    # All entries are usual if those found fill the list; one whose number starts with a set bit is a byte longer.
    if len(listed) == _USUAL_BYTES * len(usual) + sum(map(_TOP_BIT.__le__, usual)):
        return frozenset([int.from_bytes(serial, "big") for serial in usual])
    serials = set()
    entries = DerReader(listed, what="revoked certificates", error=tbs.fault)
    while not entries.at_end:
        outer = entries.open(der.SEQUENCE, "revoked certificate")
        serials.add(entries.integer("serial number"))
        entries.time("revocation date")
        if not entries.at_end:
            entries.content(der.SEQUENCE, "entry extensions")
        entries.close(outer)
    return frozenset(serials)


def _extensions(tbs: DerReader) -> int:
    """Return the CRL number. A critical extension would limit what the list covers, so there must be none."""
    outermost = tbs.open(der.context(0), "extensions")
    outer = tbs.open(der.SEQUENCE, "list")
    values: dict[bytes, bytes] = {}
    while not tbs.at_end:
        kind, critical, value = tbs.extension()
        if kind in values:
            raise tbs.fault(f"the extension {der.dotted(kind)[:64]} occurs twice")
        if critical:
            raise tbs.fault(f"the critical extension {der.dotted(kind)[:64]} is not understood")
        values[kind] = value
    tbs.close(outer)
    tbs.close(outermost)
    if _CRL_NUMBER not in values or _AUTHORITY_KEY_ID not in values:
        raise tbs.fault("CRLNumber and AuthorityKeyIdentifier are not both there")
    reader = DerReader(values[_CRL_NUMBER], what="CRL number", error=tbs.fault)
    number = reader.integer("value")
    reader.end()
    if not 0 <= number < 1 << 8 * _MAX_NUMBER_OCTETS:  # RFC 5280 section 5.2.3
        raise tbs.fault("CRLNumber is not a number of at most 20 bytes")
    return number
