"""Find the 64 bytes of report data in a quote of any version, before anything of it is verified. Pure.

Only for what a certificate alone decides: whether it carries its own evidence. `attestation.verify` reads the same
bytes again, signed. Offsets: attestation specification section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from strongroom.attestation import BodyType, Tee
from strongroom.errors import StrongroomError

REPORT_DATA_BYTES: Final = 64
_HEADER_BYTES: Final = 48
_V5_BODY: Final = _HEADER_BYTES + 6  # body type u16, body size u32
_OFFSETS: Final = {Tee.SGX: 320, Tee.TDX: 520}  # inside the body; TD 1.0 and 1.5 alike
_TEE_TYPES: Final = {0x00: Tee.SGX, 0x81: Tee.TDX}
_VERSIONS: Final = {3: (Tee.SGX,), 4: (Tee.SGX, Tee.TDX), 5: (Tee.SGX, Tee.TDX)}


def report_data_of(quote: bytes, *, error: Callable[[str], StrongroomError]) -> tuple[Tee, bytes]:
    """Return the kind of TEE and the report data; raise `error` for what is not such a quote or is cut off."""
    version, tee = int.from_bytes(quote[:2], "little"), _TEE_TYPES.get(int.from_bytes(quote[4:8], "little"))
    if tee is None or tee not in _VERSIONS.get(version, ()):
        raise error(f"the evidence is not a quote of an SGX enclave or a trust domain (version {version})")
    start = _HEADER_BYTES
    if version == 5:
        start = _V5_BODY
        if (int.from_bytes(quote[48:50], "little") == BodyType.SGX) != (tee is Tee.SGX):
            raise error("the quote's body and its header are of different kinds of TEE")
    found = quote[start + _OFFSETS[tee] :][:REPORT_DATA_BYTES]
    if len(found) != REPORT_DATA_BYTES:
        raise error(f"the quote is cut off: {len(quote)} bytes")
    return tee, found
