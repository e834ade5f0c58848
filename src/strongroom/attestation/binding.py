"""What a quote's 64 bytes of report data bind: purpose, key, nonce, deployment (specification sections 8 and 15).

One framing for every purpose: each field is preceded by its length, so that no two different inputs make one
transcript, and the first field separates this use of SHA-256 from every other.
"""

from __future__ import annotations

import hashlib
from typing import Final

from strongroom.errors import BadInput

REPORT_DATA_BYTES: Final = 64
MIN_NONCE_BYTES: Final = 32
_DOMAIN: Final = b"strongroom report data, version 1"


class NonceTooShort(BadInput):
    """A nonce is too short to make evidence fresh."""

    code = "SR-NONCE"
    fix = f"Use at least {MIN_NONCE_BYTES} random bytes, once."


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
