"""Read an enclave identity and compare a quoting enclave with it (specification section 4.2; steps 18 and 19)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, refusal
from strongroom.attestation.fields import Fields
from strongroom.attestation.isv_levels import IsvLevel, level_reached, read_isv_levels
from strongroom.attestation.quote import Tee
from strongroom.attestation.report import SgxReport
from strongroom.attestation.validity import Window

_MAX_NUMBER: Final = 2**31 - 1
_IDENTITY_VERSION: Final = 2
_NAMES: Final = {Tee.SGX: "QE", Tee.TDX: "TD_QE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveIdentity:
    """What a genuine enclave of this name looks like; `levels` are in descending order and no two are equal."""

    name: str
    version: int
    issued: datetime
    next_update: datetime
    evaluation_number: int
    misc_select: bytes  # 4 bytes, in report order
    misc_select_mask: bytes
    attributes: bytes  # 16 bytes, in report order
    attributes_mask: bytes
    mr_signer: bytes  # 32 bytes
    isv_prod_id: int
    levels: tuple[IsvLevel, ...]

    @property
    def window(self) -> Window:
        """When it counts."""
        return Window(
            "QE identity", self.issued, self.next_update, EvidenceCode.QE_IDENTITY_EXPIRED, excusable=True, step=7
        )

    def check(self, report: SgxReport, tee: Tee) -> None:
        """Refuse (QE_IDENTITY_MISMATCH) a quoting enclave that is not this one. Masks apply to raw report bytes."""
        misc_select = report.misc_select.to_bytes(4, "little")
        pairs: tuple[tuple[str, object, object], ...] = (
            ("QE identity's version", self.version, _IDENTITY_VERSION),
            ("QE identity's id", self.name, _NAMES[tee]),
            ("quoting enclave's misc_select", _masked(misc_select, self.misc_select_mask), self.misc_select),
            ("quoting enclave's attributes", _masked(report.attributes, self.attributes_mask), self.attributes),
            ("quoting enclave's mr_signer", report.mr_signer, self.mr_signer),
            ("quoting enclave's isv_prod_id", report.isv_prod_id, self.isv_prod_id),
        )
        for name, seen, wanted in pairs:
            if seen != wanted:
                raise EvidenceRefused(
                    f"the {name} is {_shown(seen)}, wanted {_shown(wanted)}", reason=EvidenceCode.QE_IDENTITY_MISMATCH
                )

    def level_of(self, report: SgxReport) -> IsvLevel:
        """Return the first level that the quoting enclave's SVN reaches."""
        return level_reached(self.levels, report.isv_svn, who="quoting enclave")


def parse_identity(text: bytes) -> EnclaveIdentity:
    """Return the enclave identity in `text`; raise EvidenceRefused (MALFORMED, TCB_UNRECOGNIZED_STATUS)."""
    identity = Fields.parse(text, what="QE identity", error=refusal(EvidenceCode.MALFORMED))
    return EnclaveIdentity(
        name=identity.text("id"),
        version=identity.number("version", limit=_MAX_NUMBER),
        issued=identity.date("issueDate"),
        next_update=identity.date("nextUpdate"),
        evaluation_number=identity.number("tcbEvaluationDataNumber", limit=_MAX_NUMBER),
        misc_select=identity.hex("miscselect", 4),
        misc_select_mask=identity.hex("miscselectMask", 4),
        attributes=identity.hex("attributes", 16),
        attributes_mask=identity.hex("attributesMask", 16),
        mr_signer=identity.hex("mrsigner", 32),
        isv_prod_id=identity.number("isvprodid", limit=0xFFFF),
        levels=read_isv_levels(identity),
    )


def _masked(value: bytes, mask: bytes) -> bytes:
    masked = int.from_bytes(value, "big") & int.from_bytes(mask, "big")
    return masked.to_bytes(len(value), "big")


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)[:64]
