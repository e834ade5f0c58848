"""Find the level that a platform reaches, and put the statuses together (specification section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.attestation.identity import QeLevel
from strongroom.attestation.pck import PckClaims
from strongroom.attestation.status import TcbStatus, converge
from strongroom.attestation.tcb_info import TcbInfo, TcbLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbResult:
    """The platform's level and the statuses that came of it; `module_status` is for TDX, None for SGX."""

    level: TcbLevel
    status: TcbStatus
    platform_status: TcbStatus
    qe_status: TcbStatus
    module_status: TcbStatus | None
    advisories: tuple[str, ...]


def match_level(components: Sequence[int], pce_svn: int, levels: Sequence[TcbLevel]) -> TcbLevel:
    """Return the first of the (descending) levels that the platform reaches in every component and in PCESVN."""
    for level in levels:
        reached = all(own >= wanted for own, wanted in zip(components, level.components, strict=True))
        if reached and pce_svn >= level.pce_svn:
            return level
    raise EvidenceRefused(
        f"SVNs {'.'.join(map(str, components))} with PCESVN {pce_svn} are below every level of the TCB info",
        reason=EvidenceCode.TCB_NOT_SUPPORTED,
    )


def evaluate(pck: PckClaims, info: TcbInfo, qe_level: QeLevel) -> TcbResult:
    """Return status and advisories of an SGX platform: level match (6.1), convergence (6.3), advisories (6.5)."""
    level = match_level(pck.components, pck.pce_svn, info.levels)
    return TcbResult(
        level=level,
        status=converge(level.status, qe_level.status),
        platform_status=level.status,
        qe_status=qe_level.status,
        module_status=None,
        advisories=tuple(dict.fromkeys((*level.advisories, *qe_level.advisories))),
    )
