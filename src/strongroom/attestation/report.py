"""The SGX report: 384 bytes that say which code an enclave runs (specification section 2.2).

The body of a quote is one, and so is the quoting enclave's own report inside the signature data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.errors import BadInput

REPORT_BYTES: Final = 384
_KSS_FIELDS: Final = ("config_id", "config_svn", "isv_ext_prod_id", "isv_family_id")
_SIZES: Final = {
    "cpu_svn": 16, "isv_ext_prod_id": 16, "attributes": 16, "mr_enclave": 32, "mr_signer": 32, "config_id": 64,
    "isv_family_id": 16, "report_data": 64,
}  # fmt: skip
_SIZE_TUPLE: Final = tuple(_SIZES.values())
_RESERVED: Final = (12, 32, 32, 42)
_NOTHING_RESERVED: Final = (bytes(12), bytes(32), bytes(32), bytes(42))
_LAYOUT: Final = struct.Struct("<16sI12s16s16s32s32s32s32s64sHHH42s16s64s")


class Attributes(IntFlag):
    """The flags in the first eight bytes of `attributes`."""

    INIT = 1 << 0
    DEBUG = 1 << 1
    MODE64BIT = 1 << 2
    PROVISION_KEY = 1 << 4
    EINITTOKEN_KEY = 1 << 5
    KSS = 1 << 7


_DEBUG: Final = int(Attributes.DEBUG)  # in the first byte


class ReportFieldSize(BadInput):
    """A field of a report that is to be written does not fit its place."""

    code = "SR-REPORT-FIELD"
    fix = "Give each field the size that the SGX report has for it."


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxReport:
    """An SGX report, field by field; sizes in bytes as in `_SIZES`, numbers little-endian on the wire.

    `reserved` are the four reserved areas in order; genuine reports have zeros there.
    """

    cpu_svn: bytes
    misc_select: int
    isv_ext_prod_id: bytes = bytes(16)
    attributes: bytes
    mr_enclave: bytes
    mr_signer: bytes
    config_id: bytes = bytes(64)
    isv_prod_id: int
    isv_svn: int
    config_svn: int = 0
    isv_family_id: bytes = bytes(16)
    report_data: bytes
    reserved: tuple[bytes, bytes, bytes, bytes] = _NOTHING_RESERVED

    def __post_init__(self) -> None:
        sizes = (len(self.cpu_svn), len(self.isv_ext_prod_id), len(self.attributes), len(self.mr_enclave),
                 len(self.mr_signer), len(self.config_id), len(self.isv_family_id), len(self.report_data))  # fmt: skip
        if sizes != _SIZE_TUPLE:
            name, seen, wanted = next(row for row in zip(_SIZES, sizes, _SIZE_TUPLE, strict=True) if row[1] != row[2])
            raise ReportFieldSize(f"{name} has {seen} bytes, wanted {wanted}")
        if self.reserved is not _NOTHING_RESERVED and tuple(map(len, self.reserved)) != _RESERVED:
            raise ReportFieldSize(f"the reserved areas have {[*map(len, self.reserved)]} bytes, wanted {_RESERVED}")
        # Numbers are not negative exactly if their union is not.
        together = self.misc_select >> 16 | self.isv_prod_id | self.isv_svn | self.config_svn
        if not 0 <= together <= 0xFFFF:
            raise ReportFieldSize("misc_select wants 32 bits, the product id and the SVNs 16 bits")

    @classmethod
    def parse(cls, data: bytes) -> SgxReport:
        """Return the report that exactly 384 bytes hold; raise EvidenceRefused (QUOTE_TRUNCATED) for another size."""
        if len(data) != REPORT_BYTES:
            raise EvidenceRefused(
                f"the SGX report has {len(data)} bytes, wanted {REPORT_BYTES}", reason=EvidenceCode.QUOTE_TRUNCATED
            )
        (cpu_svn, misc_select, first, isv_ext_prod_id, attributes, mr_enclave, second, mr_signer, third, config_id,
         isv_prod_id, isv_svn, config_svn, fourth, isv_family_id, report_data) = _LAYOUT.unpack(data)  # fmt: skip
        reserved = (first, second, third, fourth)
        return cls(
            cpu_svn=cpu_svn,
            misc_select=misc_select,
            isv_ext_prod_id=isv_ext_prod_id,
            attributes=attributes,
            mr_enclave=mr_enclave,
            mr_signer=mr_signer,
            config_id=config_id,
            isv_prod_id=isv_prod_id,
            isv_svn=isv_svn,
            config_svn=config_svn,
            isv_family_id=isv_family_id,
            report_data=report_data,
            reserved=_NOTHING_RESERVED if reserved == _NOTHING_RESERVED else reserved,
        )

    def to_bytes(self) -> bytes:
        """Return the 384 bytes of the report."""
        first, second, third, fourth = self.reserved
        return b"".join(
            (
                self.cpu_svn,
                self.misc_select.to_bytes(4, "little"),
                first,
                self.isv_ext_prod_id,
                self.attributes,
                self.mr_enclave,
                second,
                self.mr_signer,
                third,
                self.config_id,
                self.isv_prod_id.to_bytes(2, "little"),
                self.isv_svn.to_bytes(2, "little"),
                self.config_svn.to_bytes(2, "little"),
                fourth,
                self.isv_family_id,
                self.report_data,
            )
        )

    @property
    def flags(self) -> Attributes:
        """The attribute flags, unknown bits included."""
        return Attributes(int.from_bytes(self.attributes[:8], "little"))

    @property
    def debug(self) -> bool:
        """Whether the host may read this enclave's memory."""
        return bool(self.attributes[0] & _DEBUG)

    @property
    def reserved_clear(self) -> bool:
        """Whether every reserved byte is zero."""
        return self.reserved is _NOTHING_RESERVED or not any(map(any, self.reserved))

    @property
    def kss_fields_set(self) -> tuple[str, ...]:
        """Names of the key separation and sharing fields that are not zero: MRENCLAVE does not cover them."""
        return tuple(name for name in _KSS_FIELDS if any(_as_bytes(getattr(self, name))))

    def to_json_object(self) -> dict[str, object]:
        """Return every field by its name: bytes as lower-case hex, numbers as numbers; reserved areas left out."""
        names = [name for name in self.__dataclass_fields__ if name != "reserved"]
        values = ((name, getattr(self, name)) for name in names)
        return {name: value.hex() if isinstance(value, bytes) else value for name, value in values}


def _as_bytes(value: bytes | int) -> bytes:
    return value if isinstance(value, bytes) else value.to_bytes(2, "little")
