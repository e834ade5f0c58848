"""The SGX extension of a PCK certificate: which platform it is and which TCB it was made for (specification section 3).

Read by hand from strict DER: every component is there, once, with its exact size, or the certificate is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from strongroom.attestation.certificates import SGX_EXTENSION, Certificate
from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, refusal, require
from strongroom.wire import der
from strongroom.wire.der import DerReader

COMPONENTS: Final = 16
_OID: Final = der.oid_of(SGX_EXTENSION)
_PPID, _TCB, _PCEID, _FMSPC, _SGX_TYPE, _INSTANCE, _CONFIGURATION = (_OID + bytes([arc]) for arc in range(1, 8))
_COMPONENTS: Final = tuple(_TCB + bytes([arc]) for arc in range(1, COMPONENTS + 1))
_PCESVN, _CPUSVN = _TCB + bytes([COMPONENTS + 1]), _TCB + bytes([COMPONENTS + 2])
_DYNAMIC, _CACHED_KEYS, _SMT = (_CONFIGURATION + bytes([arc]) for arc in range(1, 4))
_error: Final = refusal(EvidenceCode.INVALID_PCK_CERT)


def _form(kind: bytes, value: bytes, size: int) -> bytes:
    """Return the pattern of a member whose value of `size` bytes has the pattern `value`."""
    head = bytes([der.OID, len(kind)]) + kind
    return re.escape(bytes([der.SEQUENCE, len(head) + size]) + head) + value


def _svn_form(kind: bytes) -> bytes:
    """Return the pattern of a member that is an SVN of one byte: an INTEGER, with a zero before the top bit."""
    small = _form(kind, rb"\x02\x01(?=[\x00-\x7f])", 3)
    return b"(?:" + small + b"|" + _form(kind, rb"\x02\x02\x00(?=[\x80-\xff])", 4) + b")(.)"


# The TCB as Intel writes it: all members in order, PCESVN below 128. Whatever differs is read member by member.
_USUAL_TCB: Final = re.compile(
    b"".join(map(_svn_form, _COMPONENTS))
    + _form(_PCESVN, rb"\x02\x01([\x00-\x7f])", 3)
    + _form(_CPUSVN, rb"\x04\x10(.{16})", 18),
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PckClaims:
    """What Intel (or a simulator) signed about one platform. None means undefined, which is not false."""

    ppid: bytes  # 16 bytes
    components: tuple[int, ...]  # 16 SVNs; these decide, not the CPUSVN bytes
    pce_svn: int
    cpu_svn: bytes  # 16 bytes
    pce_id: bytes  # 2 bytes
    fmspc: bytes  # 6 bytes
    sgx_type: int  # 0 standard, 1 scalable, 2 scalable with integrity
    platform_instance_id: bytes | None  # 16 bytes
    dynamic_platform: bool | None
    cached_keys: bool | None
    smt_enabled: bool | None

    def to_json_object(self) -> dict[str, object]:
        """Return the claims under Intel's names for them; bytes as upper-case hex, as Intel writes them."""
        return {
            "pck_ppid": self.ppid.hex().upper(),
            "tcb_cpusvn": self.cpu_svn.hex().upper(),
            "tcb_components": list(self.components),
            "pce_isvsvn": self.pce_svn,
            "pce_id": self.pce_id.hex().upper(),
            "fmspc": self.fmspc.hex().upper(),
            "sgx_type": self.sgx_type,
            "platform_instance_id": self.platform_instance_id.hex().upper() if self.platform_instance_id else None,
            "dynamic_platform": self.dynamic_platform,
            "cached_keys": self.cached_keys,
            "smt_enabled": self.smt_enabled,
        }


def read_pck_claims(leaf: Certificate) -> PckClaims:
    """Return the claims of a PCK certificate; raise EvidenceRefused (INVALID_PCK_CERT) for anything incomplete."""
    require(len(leaf.sgx_extensions) == 1, EvidenceCode.INVALID_PCK_CERT,
            f"the PCK certificate has {len(leaf.sgx_extensions)} SGX extensions, wanted 1")  # fmt: skip
    members = _members(DerReader(leaf.sgx_extensions[0], what="SGX extension", error=_error))
    components, pce_svn, cpu_svn = _tcb(_encoded(members, _TCB))
    sgx_type = _one(members, _SGX_TYPE).integer("SGX type", tag=der.ENUMERATED)
    require(sgx_type in {0, 1, 2}, EvidenceCode.INVALID_PCK_CERT, f"the SGX type is {sgx_type}, wanted 0, 1 or 2")
    configuration = _members(_one(members, _CONFIGURATION)) if _CONFIGURATION in members else {}
    return PckClaims(
        ppid=_octets(members, _PPID, 16),
        components=components,
        pce_svn=pce_svn,
        cpu_svn=cpu_svn,
        pce_id=_octets(members, _PCEID, 2),
        fmspc=_octets(members, _FMSPC, 6),
        sgx_type=sgx_type,
        platform_instance_id=_octets(members, _INSTANCE, 16) if _INSTANCE in members else None,
        dynamic_platform=_flag(configuration, _DYNAMIC),
        cached_keys=_flag(configuration, _CACHED_KEYS),
        smt_enabled=_flag(configuration, _SMT),
    )


def _tcb(encoded: bytes) -> tuple[tuple[int, ...], int, bytes]:
    """Return the 16 component SVNs, PCESVN and CPUSVN."""
    usual = _USUAL_TCB.fullmatch(DerReader(encoded, what="SGX extension", error=_error).content(der.SEQUENCE, "TCB"))
    if usual is not None:
        *components, pce_svn, cpu_svn = usual.groups()
        return tuple(b"".join(components)), pce_svn[0], cpu_svn
    tcb = _members(DerReader(encoded, what="SGX extension", error=_error))
    svns = tuple([_number(tcb, kind, limit=0xFF) for kind in _COMPONENTS])
    return svns, _number(tcb, _PCESVN, limit=0xFFFF), _octets(tcb, _CPUSVN, 16)


def _members(reader: DerReader) -> dict[bytes, bytes]:
    """Return the encoded values of SEQUENCE { SEQUENCE { OID, value }, … } by the content of their identifiers.

    An identifier must not come twice, and nothing may follow the sequence.
    """
    members: dict[bytes, bytes] = {}
    whole = reader.open(der.SEQUENCE, "members")
    while not reader.at_end:
        kind, value = reader.pair()
        if kind in members:
            raise reader.fault(f"{der.dotted(kind)[:64]} is there twice")
        members[kind] = value
    reader.close(whole)
    reader.end()
    return members


def _encoded(members: dict[bytes, bytes], kind: bytes) -> bytes:
    """Return one member's value, which is exactly one element, as `_members` saw."""
    if kind not in members:
        raise EvidenceRefused(f"the SGX extension lacks {der.dotted(kind)}", reason=EvidenceCode.INVALID_PCK_CERT)
    return members[kind]


def _one(members: dict[bytes, bytes], kind: bytes) -> DerReader:
    """Return a reader over one member's value."""
    return DerReader(_encoded(members, kind), what="SGX extension", error=_error)


def _octets(members: dict[bytes, bytes], kind: bytes, size: int) -> bytes:
    encoded = members.get(kind, b"")
    if len(encoded) == 2 + size and encoded[0] == der.OCTET_STRING and encoded[1] == size:
        return encoded[2:]
    return _one(members, kind).octets(f"member {der.dotted(kind)}", size)


def _number(members: dict[bytes, bytes], kind: bytes, *, limit: int) -> int:
    encoded = members.get(kind, b"")
    if len(encoded) == 3 and encoded.startswith(b"\x02\x01") and encoded[2] < 0x80:  # nearly all are this small
        return encoded[2]
    number = _one(members, kind).integer("SVN")
    require(0 <= number <= limit, EvidenceCode.INVALID_PCK_CERT,
            f"the SGX extension says {number} for {der.dotted(kind)}, wanted 0 to {limit}")  # fmt: skip
    return number


def _flag(configuration: dict[bytes, bytes], kind: bytes) -> bool | None:
    return _one(configuration, kind).boolean("flag") if kind in configuration else None
