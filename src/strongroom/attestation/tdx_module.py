"""The TDX module: which one signed reference data describe, and how current it is (specification section 6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.attestation.fields import Fields
from strongroom.attestation.isv_levels import IsvLevel, read_isv_levels
from strongroom.attestation.td_report import TdReport

NO_ATTRIBUTES: Final = bytes(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxModule:
    """What a TDX module looks like. `levels` are in descending order; the one of version 0 has none."""

    mr_signer: bytes  # 48 bytes; zeros: Intel
    attributes: bytes  # 8 bytes
    attributes_mask: bytes
    levels: tuple[IsvLevel, ...] = ()

    def check(self, report: TdReport) -> None:
        """Refuse (TDX_MODULE_MISMATCH) a TD under another module, or under one with attributes: none is production."""
        pairs = (
            ("mr_signer_seam", report.mr_signer_seam, self.mr_signer),
            ("seam_attributes", report.seam_attributes, NO_ATTRIBUTES),
            ("attributes in the TCB info", self.attributes, NO_ATTRIBUTES),
        )
        for name, seen, wanted in pairs:
            if seen != wanted:
                raise EvidenceRefused(
                    f"the TDX module's {name} is {seen.hex()}, wanted {wanted.hex()}",
                    reason=EvidenceCode.TDX_MODULE_MISMATCH,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxModules:
    """The modules of a TCB info: that of version 0, and those of later versions by id (None: it has no list)."""

    first: TdxModule
    identities: dict[str, TdxModule] | None

    def of_version(self, version: int) -> TdxModule:
        """Return the module of a major version, the second byte of `tee_tcb_svn`."""
        if version == 0:
            return self.first
        if self.identities is None:
            raise EvidenceRefused(
                f"the TDX module is of version {version}, the TCB info has no module identities",
                reason=EvidenceCode.TCB_INFO_MISMATCH,
            )
        name = f"TDX_{version:02X}"
        if name not in self.identities:
            raise EvidenceRefused(
                f"the TCB info does not describe the TDX module {name}", reason=EvidenceCode.TDX_MODULE_MISMATCH
            )
        return self.identities[name]


def read_modules(info: Fields) -> TdxModules:
    """Return the modules that a TDX TCB info describes; an id must not come twice."""
    identities: dict[str, TdxModule] | None = None
    if info.has("tdxModuleIdentities"):
        identities = {}
        for identity in info.objects("tdxModuleIdentities"):
            name = identity.text("id").upper()  # ids are compared without regard to case
            if name in identities:
                raise info.error(f"the TCB info describes the TDX module {name[:64]!r} twice")
            identities[name] = _module(identity, read_isv_levels(identity))
    return TdxModules(first=_module(info.nested("tdxModule"), ()), identities=identities)


def _module(module: Fields, levels: tuple[IsvLevel, ...]) -> TdxModule:
    return TdxModule(
        mr_signer=module.hex("mrsigner", 48),
        attributes=module.hex("attributes", 8),
        attributes_mask=module.hex("attributesMask", 8),
        levels=levels,
    )
