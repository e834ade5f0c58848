"""Write the SGX extension of a PCK certificate in DER.

Pure. Layout: spec section 3, OID 1.2.840.113741.1.13.1: SEQUENCE of SEQUENCE { OID, value }. DER is written by hand
because no library knows this structure: minimal INTEGER (leading 00 when the top bit is set), BOOLEAN false = 00.
"""

from __future__ import annotations

from typing import Final

from strongroom.platforms.simulated.hardware import Hardware

SGX_EXTENSION_OID: Final = "1.2.840.113741.1.13.1"

_OID_BODY: Final = bytes.fromhex("2a864886f84d010d01")  # 1.2.840.113741.1.13.1, encoded
_INTEGER, _OCTET_STRING, _OID, _ENUMERATED, _BOOLEAN, _SEQUENCE = 0x02, 0x04, 0x06, 0x0A, 0x01, 0x30
_SGX_TYPE: Final = {"processor": 0, "platform": 1}  # Standard, Scalable


def sgx_extension(hardware: Hardware) -> bytes:
    """Return the extension's value; the platform CA's leaf has three more members than the processor CA's."""
    members = [
        _member((1,), _tlv(_OCTET_STRING, hardware.ppid)),
        _member((2,), _tcb(hardware)),
        _member((3,), _tlv(_OCTET_STRING, hardware.pce_id)),
        _member((4,), _tlv(_OCTET_STRING, hardware.fmspc)),
        _member((5,), _tlv(_ENUMERATED, bytes([_SGX_TYPE[hardware.ca]]))),
    ]
    if hardware.ca == "platform":
        configuration = b"".join(_member((7, word), _tlv(_BOOLEAN, b"\0")) for word in (1, 2, 3))
        members.append(_member((6,), _tlv(_OCTET_STRING, hardware.platform_instance_id)))
        members.append(_member((7,), _tlv(_SEQUENCE, configuration)))
    return _tlv(_SEQUENCE, b"".join(members))


def _tcb(hardware: Hardware) -> bytes:
    numbers = [*hardware.components, hardware.pce_svn]
    members = [_member((2, index), _integer(number)) for index, number in enumerate(numbers, start=1)]
    members.append(_member((2, 18), _tlv(_OCTET_STRING, hardware.cpu_svn)))
    return _tlv(_SEQUENCE, b"".join(members))


def _member(arc: tuple[int, ...], value: bytes) -> bytes:
    return _tlv(_SEQUENCE, _tlv(_OID, _OID_BODY + bytes(arc)) + value)


def _integer(number: int) -> bytes:
    return _tlv(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content
