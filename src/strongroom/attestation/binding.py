"""What a quote's 64 bytes of report data bind: purpose, key, nonce, deployment (specification sections 8 and 15).

One framing for every purpose: each field is preceded by its length, so that no two different inputs make one
transcript, and the first field separates this use of SHA-256 from every other.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.errors import BadInput

REPORT_DATA_BYTES: Final = 64
MIN_NONCE_BYTES: Final = 32
_DOMAIN: Final = b"strongroom report data, version 1"


class NonceTooShort(BadInput):
    """A nonce is too short to make evidence fresh."""

    code = "SR-NONCE"
    fix = f"Use at least {MIN_NONCE_BYTES} random bytes, once."


class BindingKind(StrEnum):
    """How evidence is bound: our own transcript, or Gramine's hash of the key alone, which has no nonce."""

    TRANSCRIPT = "transcript"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a verifier knows of the peer, and how the evidence has to carry it; a key alone uses no other input."""

    kind: BindingKind
    public_key_spki: bytes
    purpose: str = ""
    nonce: bytes = b""
    deployment: str = ""
    exact: bytes = b""  # the 64 bytes themselves, where another protocol's framing of the same inputs made them

    def holds_for(self, report_data: bytes) -> bool:
        """Return whether these 64 bytes are bound so. Raises NonceTooShort for a transcript without a real nonce."""
        return hmac.compare_digest(report_data, self._wanted())

    def _wanted(self) -> bytes:
        if self.exact:
            return self.exact
        if self.kind is BindingKind.TRANSCRIPT:
            return report_data_for(self.purpose, self.public_key_spki, self.nonce, self.deployment)
        return hashlib.sha256(self.public_key_spki).digest() + bytes(REPORT_DATA_BYTES // 2)


def report_data_for(purpose: str, public_key_spki: bytes, nonce: bytes, deployment: str) -> bytes:
    """Return the 64 bytes that bind a key to a purpose, a nonce and a deployment: SHA-256 ‖ 32 zero bytes.

    `public_key_spki`: DER of the key that the evidence is to vouch for. `deployment` may be empty: then none is named.
    """
    if len(nonce) < MIN_NONCE_BYTES:
        raise NonceTooShort(f"the nonce has {len(nonce)} bytes, wanted at least {MIN_NONCE_BYTES}")
    transcript = hashlib.sha256()
    for field in (_DOMAIN, _utf8(purpose), public_key_spki, nonce, _utf8(deployment)):
        transcript.update(len(field).to_bytes(4, "big"))
        transcript.update(field)
    return transcript.digest() + bytes(REPORT_DATA_BYTES - transcript.digest_size)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")  # any text has one encoding, and none raises
