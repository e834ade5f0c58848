"""The TD report: 584 or 648 bytes that say what a trust domain started with (specification section 2.2).

It is the body of a TDX quote. Version 1.0 ends after the report data; version 1.5 adds the TCB that the TDX module
has now and the measurement of a service TD. Nothing here judges.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from operator import attrgetter
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.attestation.report import ReportFieldSize

TD_1_0_BYTES: Final = 584
TD_1_5_BYTES: Final = 648

# Fields in wire order with their sizes in bytes; the last two are there in version 1.5 only.
_SIZES: Final = {
    "tee_tcb_svn": 16, "mr_seam": 48, "mr_signer_seam": 48, "seam_attributes": 8, "td_attributes": 8, "xfam": 8,
    "mr_td": 48, "mr_config_id": 48, "mr_owner": 48, "mr_owner_config": 48,
    "rtmr0": 48, "rtmr1": 48, "rtmr2": 48, "rtmr3": 48, "report_data": 64,
}  # fmt: skip
_SIZES_1_5: Final = {"tee_tcb_svn2": 16, "mr_service_td": 48}
_NAMES: Final = (*_SIZES, *_SIZES_1_5)
_BASE_FIELDS: Final = attrgetter(*_SIZES)
_BASE_SIZES: Final = tuple(_SIZES.values())
_LAYOUTS: Final = {
    TD_1_0_BYTES: struct.Struct("".join(f"{size}s" for size in _SIZES.values())),
    TD_1_5_BYTES: struct.Struct("".join(f"{size}s" for size in (*_SIZES.values(), *_SIZES_1_5.values()))),
}


class TdAttributes(IntFlag):
    """The bits of `td_attributes`. Bits 0 to 7 are "TD under debug" and must be clear for trust."""

    DEBUG = 1 << 0
    SEPT_VE_DISABLE = 1 << 28
    MIGRATABLE = 1 << 29
    PKS = 1 << 30
    KL = 1 << 31
    PERFMON = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport:
    """A TD report, field by field; sizes in bytes as in `_SIZES`. Version 1.0 has None for its last two fields."""

    tee_tcb_svn: bytes  # [0] the TDX module's SVN, [1] its major version, [2] microcode
    mr_seam: bytes
    mr_signer_seam: bytes  # zeros: Intel
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    report_data: bytes
    tee_tcb_svn2: bytes | None = None  # as `tee_tcb_svn`, for the module that is loaded now
    mr_service_td: bytes | None = None

    def __post_init__(self) -> None:
        values = _BASE_FIELDS(self)
        wanted = _BASE_SIZES
        if self.tee_tcb_svn2 is not None and self.mr_service_td is not None:
            values, wanted = (*values, self.tee_tcb_svn2, self.mr_service_td), (*wanted, *_SIZES_1_5.values())
        elif self.tee_tcb_svn2 is not self.mr_service_td:
            raise ReportFieldSize("tee_tcb_svn2 and mr_service_td come together, or not at all")
        if tuple(map(len, values)) != wanted:
            rows = zip(_NAMES, map(len, values), wanted, strict=False)
            name, seen, size = next(row for row in rows if row[1] != row[2])
            raise ReportFieldSize(f"{name} has {seen} bytes, wanted {size}")

    @classmethod
    def parse(cls, data: bytes) -> TdReport:
        """Return the report in 584 (1.0) or 648 (1.5) bytes; raise EvidenceRefused (QUOTE_TRUNCATED) otherwise."""
        layout = _LAYOUTS.get(len(data))
        if layout is None:
            raise EvidenceRefused(
                f"the TD report has {len(data)} bytes, wanted {TD_1_0_BYTES} or {TD_1_5_BYTES}",
                reason=EvidenceCode.QUOTE_TRUNCATED,
            )
        return cls(**dict(zip(_NAMES, layout.unpack(data), strict=False)))

    def to_bytes(self) -> bytes:
        """Return the 584 or 648 bytes of the report."""
        return b"".join(getattr(self, name) or b"" for name in _NAMES)

    @property
    def attributes(self) -> TdAttributes:
        """The attribute flags, unknown bits included."""
        return TdAttributes(int.from_bytes(self.td_attributes, "little"))

    @property
    def debug(self) -> bool:
        """Whether the host may read this trust domain's memory."""
        return TdAttributes.DEBUG in self.attributes

    def to_json_object(self) -> dict[str, object]:
        """Return every field that is there by its name, as lower-case hex."""
        values = ((name, getattr(self, name)) for name in _NAMES)
        return {name: value.hex() for name, value in values if value is not None}
