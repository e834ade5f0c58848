"""Who a launched program is, and the report that SGX or the TDX module would write about it. Pure values."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from strongroom.attestation import SgxReport, TdReport
from strongroom.attestation.report import Attributes
from strongroom.attestation.td_report import TdAttributes
from strongroom.platforms.simulated.hardware import CURRENT_MODULE, Hardware, TdxModule

REPORT_DATA_BYTES: Final = 64
RTMRS: Final = 4
_XFRM: Final = 0xE7  # x87, SSE, AVX, AVX-512
_XFAM: Final = bytes.fromhex("e702060000000000")
_UNSET: Final = bytes(48)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveIdentity:
    """Who an enclave is: 32-byte measurement and signer, product, security version, debug flag."""

    mr_enclave: bytes
    mr_signer: bytes
    isv_prod_id: int
    isv_svn: int
    debug: bool = False

    def report(self, hardware: Hardware, report_data: bytes) -> SgxReport:
        """Return the report that SGX would write on `hardware`; `report_data` has 64 bytes."""
        flags = Attributes.INIT | Attributes.MODE64BIT | (Attributes.DEBUG if self.debug else 0)
        return replace(
            blank_report(hardware, flags),
            mr_enclave=self.mr_enclave,
            mr_signer=self.mr_signer,
            isv_prod_id=self.isv_prod_id,
            isv_svn=self.isv_svn,
            report_data=report_data,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TdIdentity:
    """Who a trust domain is; measurements have 48 bytes.

    `module`: the TDX module it was launched under. `loaded`: the module that is loaded now; with it the report is of
    version 1.5, and one that is newer than `module` is what a relaunch would cure.
    """

    mr_td: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes] = (_UNSET, _UNSET, _UNSET, _UNSET)
    mr_config_id: bytes = _UNSET
    mr_owner: bytes = _UNSET
    mr_owner_config: bytes = _UNSET
    mr_service_td: bytes = _UNSET
    attributes: TdAttributes = TdAttributes.SEPT_VE_DISABLE
    module: TdxModule = CURRENT_MODULE
    loaded: TdxModule | None = None

    def report(self, _hardware: Hardware, report_data: bytes) -> TdReport:
        """Return the report that the TDX module would write; `report_data` has 64 bytes."""
        rtmr0, rtmr1, rtmr2, rtmr3 = self.rtmrs
        return TdReport(
            tee_tcb_svn=self.module.tee_tcb_svn,
            mr_seam=_UNSET,
            mr_signer_seam=_UNSET,
            seam_attributes=bytes(8),
            td_attributes=self.attributes.to_bytes(8, "little"),
            xfam=_XFAM,
            mr_td=self.mr_td,
            mr_config_id=self.mr_config_id,
            mr_owner=self.mr_owner,
            mr_owner_config=self.mr_owner_config,
            rtmr0=rtmr0,
            rtmr1=rtmr1,
            rtmr2=rtmr2,
            rtmr3=rtmr3,
            report_data=report_data,
            tee_tcb_svn2=self.loaded.tee_tcb_svn if self.loaded is not None else None,
            mr_service_td=self.mr_service_td if self.loaded is not None else None,
        )


Identity: TypeAlias = EnclaveIdentity | TdIdentity


def blank_report(hardware: Hardware, flags: int) -> SgxReport:
    """Return a report of this machine with the attribute `flags` and zeros everywhere else."""
    return SgxReport(
        cpu_svn=hardware.cpu_svn,
        misc_select=0,
        isv_ext_prod_id=bytes(16),
        attributes=struct.pack("<QQ", flags, _XFRM),
        mr_enclave=bytes(32),
        mr_signer=bytes(32),
        config_id=bytes(64),
        isv_prod_id=0,
        isv_svn=0,
        config_svn=0,
        isv_family_id=bytes(16),
        report_data=bytes(REPORT_DATA_BYTES),
    )
