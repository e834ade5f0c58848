"""Find the level that a platform reaches, and put the statuses together (specification section 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import ge
from typing import Final

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.attestation.isv_levels import IsvLevel, level_reached
from strongroom.attestation.pck import PckClaims
from strongroom.attestation.status import NAMES_CONFIGURATION, TcbStatus, converge
from strongroom.attestation.tcb_info import TcbInfo, TcbLevel
from strongroom.attestation.td_report import TdReport
from strongroom.attestation.tdx_module import TdxModules

MODULE_SVN, MODULE_VERSION, MICROCODE = 0, 1, 2  # places in tee_tcb_svn
_OUT_OF_DATE: Final = frozenset({TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED})
_CURRENT: Final = frozenset(
    {
        TcbStatus.UP_TO_DATE,
        TcbStatus.SW_HARDENING_NEEDED,
        TcbStatus.CONFIGURATION_NEEDED,
        TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbResult:
    """The platform's level and the statuses that came of it; `module_status` is None without a module identity."""

    level: TcbLevel
    status: TcbStatus
    platform_status: TcbStatus
    qe_status: TcbStatus
    module_status: TcbStatus | None
    advisories: tuple[str, ...]


def match_level(components: Sequence[int], pce_svn: int, levels: Sequence[TcbLevel]) -> TcbLevel:
    """Return the first of the (descending) levels that the platform reaches in every component and in PCESVN."""
    for level in fitting_levels(components, pce_svn, levels):
        return level
    raise EvidenceRefused(
        f"SVNs {'.'.join(map(str, components))} with PCESVN {pce_svn} are below every level of the TCB info",
        reason=EvidenceCode.TCB_NOT_SUPPORTED,
    )


def fitting_levels(components: Sequence[int], pce_svn: int, levels: Sequence[TcbLevel]) -> Iterator[TcbLevel]:
    """Yield the levels that the platform reaches in every SGX component and in PCESVN, in their order."""
    for level in levels:
        if pce_svn >= level.pce_svn and _reached(components, level.components):
            yield level


def match_tdx_level(
    components: Sequence[int], pce_svn: int, tee_tcb_svn: bytes, levels: Sequence[TcbLevel]
) -> TcbLevel:
    """Return the first fitting level whose TDX components are reached too.

    From version 1 on, the first two bytes of `tee_tcb_svn` are the module's, which has levels of its own.
    """
    first = 2 if tee_tcb_svn[MODULE_VERSION] > 0 else 0
    for level in fitting_levels(components, pce_svn, levels):
        if _reached(tee_tcb_svn[first:], level.tdx_components[first:]):
            return level
    raise EvidenceRefused(
        f"TEE TCB SVN {tee_tcb_svn.hex()} is below every level of the TCB info that the platform reaches",
        reason=EvidenceCode.TCB_NOT_SUPPORTED,
    )


def evaluate(pck: PckClaims, info: TcbInfo, qe_level: IsvLevel, report: TdReport | None = None) -> TcbResult:
    """Return status and advisories of a platform (step 21): levels (6.1, 6.2), relaunch (6.4), convergence (6.3).

    `report` is the TD report of a TDX quote; the TCB info is TDX's then. Advisories (6.5) come in the order platform,
    TDX module, quoting enclave.
    """
    sgx_level = match_level(pck.components, pck.pce_svn, info.levels)
    if report is None or info.tdx_modules is None:
        return _result(sgx_level, None, qe_level, sgx_level.status, relaunch=None)
    level = match_tdx_level(pck.components, pck.pce_svn, report.tee_tcb_svn, info.levels)
    module_level = _module_level(info.tdx_modules, report.tee_tcb_svn)
    platform_status = converge(level.status, module_level.status) if module_level else level.status
    relaunch = None
    if module_level and _may_relaunch(qe_level.status, sgx_level.status, platform_status, module_level.status):
        relaunch = _relaunched(sgx_level.status, platform_status, report, info, info.tdx_modules)
    return _result(level, module_level, qe_level, platform_status, relaunch=relaunch)


def _result(
    level: TcbLevel,
    module_level: IsvLevel | None,
    qe_level: IsvLevel,
    platform_status: TcbStatus,
    *,
    relaunch: TcbStatus | None,
) -> TcbResult:
    module_advisories = module_level.advisories if module_level else ()
    return TcbResult(
        level=level,
        status=converge(relaunch or platform_status, qe_level.status),
        platform_status=platform_status,
        qe_status=qe_level.status,
        module_status=module_level.status if module_level else None,
        advisories=tuple(dict.fromkeys((*level.advisories, *module_advisories, *qe_level.advisories))),
    )


def _module_level(modules: TdxModules, tee_tcb_svn: bytes) -> IsvLevel | None:
    """Return the level of the module that the TD was launched under; version 0 has none (section 6.2)."""
    if tee_tcb_svn[MODULE_VERSION] == 0:
        return None
    module = modules.of_version(tee_tcb_svn[MODULE_VERSION])
    return level_reached(module.levels, tee_tcb_svn[MODULE_SVN], who="TDX module")


def _may_relaunch(qe: TcbStatus, sgx: TcbStatus, platform: TcbStatus, module: TcbStatus) -> bool:
    """Whether nothing but the TDX module is out of date."""
    return (
        qe not in {TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED}
        and sgx in _CURRENT
        and platform in _OUT_OF_DATE
        and module is TcbStatus.OUT_OF_DATE
    )


def _relaunched(
    sgx: TcbStatus, platform: TcbStatus, report: TdReport, info: TcbInfo, modules: TdxModules
) -> TcbStatus | None:
    """Return the status of a TD that only has to be launched anew; None if the module that is loaded is old too."""
    svn2 = report.tee_tcb_svn2
    if svn2 is None:
        return None
    top = info.levels[0].tdx_components
    wanted = top[MODULE_SVN]
    if svn2[MODULE_VERSION] > 0:
        wanted = modules.of_version(svn2[MODULE_VERSION]).levels[0].isv_svn
    if svn2[MODULE_SVN] < wanted or svn2[MICROCODE] < top[MICROCODE]:
        return None
    if {sgx, platform} & NAMES_CONFIGURATION:
        return TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
    return TcbStatus.TD_RELAUNCH_ADVISED


def _reached(own: Sequence[int], wanted: Sequence[int]) -> bool:
    return all(map(ge, own, wanted))
