"""TCB info and quoting-enclave identities of a simulated world, for SGX and TDX, as values that JSON can write.

Pure. Order of keys, case of hex digits and dates are Intel's (spec sections 4.1, 4.2 and 14.1); signing is
`collateral`'s part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from strongroom.attestation import TcbStatus, Tee
from strongroom.platforms.simulated.hardware import COMPONENTS, CURRENT_MODULE, OLD_MODULE, Hardware, Rehearsal

TCB_DATE: Final = "2025-08-01T00:00:00Z"
OLDER_TCB_DATE: Final = "2023-02-15T00:00:00Z"
QE_PRODUCTS: Final = {Tee.SGX: 1, Tee.TDX: 2}
QE_IDS: Final = {Tee.SGX: "QE", Tee.TDX: "TD_QE"}
_MAX_SVN: Final = 255
# The module's major version is no component: it says which module identity counts (spec section 6.2).
_TDX_COMPONENTS: Final = (CURRENT_MODULE.svn, 0, CURRENT_MODULE.microcode, *(0,) * (COMPONENTS - 3))
_NO_COMPONENTS: Final = (0,) * COMPONENTS
_MODULE_SIGNER: Final = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}

Document = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when to when a document counts."""

    issued: datetime
    expires: datetime

    def dates(self) -> Document:
        """Return the two members that every document has."""
        return {"issueDate": _stamp(self.issued), "nextUpdate": _stamp(self.expires)}


def tcb_info(hardware: Hardware, rehearsal: Rehearsal, window: Window, tee: Tee) -> Document:
    """Return the TCB info of `hardware`, version 3."""
    return {
        "id": tee.value,
        "version": 3,
        **window.dates(),
        "fmspc": hardware.fmspc_hex,
        "pceId": hardware.pce_id.hex().upper(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": rehearsal.evaluation_number,
        **(_modules(rehearsal) if tee is Tee.TDX else {}),
        "tcbLevels": _tcb_levels(hardware, rehearsal, tee),
    }


def qe_identity(hardware: Hardware, qe_signer: bytes, rehearsal: Rehearsal, window: Window, tee: Tee) -> Document:
    """Return the identity of the enclave that quotes for `tee`, version 2."""
    level = _isv_level(hardware.qe_svn, rehearsal.qe_status, rehearsal.qe_advisories, TCB_DATE)
    return {
        "id": QE_IDS[tee],
        "version": 2,
        **window.dates(),
        "tcbEvaluationDataNumber": rehearsal.qe_evaluation_number,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FB" + "FF" * 7 + "00" * 8,
        "mrsigner": qe_signer.hex().upper(),
        "isvprodid": QE_PRODUCTS[tee],
        "tcbLevels": [level],
    }


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _tcb_levels(hardware: Hardware, rehearsal: Rehearsal, tee: Tee) -> list[Document]:
    """Return levels from high to low: what Intel would want next, what this machine has, what is long out of date."""
    here, pce_svn = hardware.components, hardware.pce_svn
    tdx, tdx_behind = (_TDX_COMPONENTS, _NO_COMPONENTS) if tee is Tee.TDX else (None, None)
    ahead = _level(_raised(here), pce_svn + 1, TcbStatus.UP_TO_DATE, (), date=TCB_DATE, tdx=tdx)
    if rehearsal.unsupported:
        return [ahead]
    level = _level(here, pce_svn, rehearsal.status, rehearsal.advisories, date=TCB_DATE, tdx=tdx)
    behind = _level(
        _NO_COMPONENTS, 0, TcbStatus.OUT_OF_DATE, rehearsal.advisories, date=OLDER_TCB_DATE, tdx=tdx_behind
    )  # fmt: skip
    return [level, behind] if rehearsal.status is TcbStatus.UP_TO_DATE else [ahead, level, behind]


def _raised(components: Sequence[int]) -> tuple[int, ...]:
    return tuple(min(svn + 1, _MAX_SVN) for svn in components)


def _level(
    components: Iterable[int],
    pce_svn: int,
    status: TcbStatus,
    advisories: tuple[str, ...],
    *,
    date: str,
    tdx: Iterable[int] | None,
) -> Document:
    tcb: Document = {"sgxtcbcomponents": [{"svn": svn} for svn in components], "pcesvn": pce_svn}
    if tdx is not None:
        tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in tdx]
    return _with_advisories({"tcb": tcb, "tcbDate": date, "tcbStatus": status.value}, advisories)


def _modules(rehearsal: Rehearsal) -> Document:
    """Return what TDX's TCB info says of the TDX module: its signer, and each version's levels."""
    if rehearsal.tdx_modules is None:
        return {"tdxModule": _MODULE_SIGNER}
    identities = [
        {"id": f"TDX_{version:02X}", **_MODULE_SIGNER, "tcbLevels": _module_levels(rehearsal)}
        for version in rehearsal.tdx_modules
    ]
    return {"tdxModule": _MODULE_SIGNER, "tdxModuleIdentities": identities}


def _module_levels(rehearsal: Rehearsal) -> list[Document]:
    """Return the module's levels from high to low, in the same three steps as the platform's."""
    status = rehearsal.module_status
    ahead = _isv_level(CURRENT_MODULE.svn + 1, TcbStatus.UP_TO_DATE, (), TCB_DATE)
    level = _isv_level(CURRENT_MODULE.svn, status, rehearsal.module_advisories, TCB_DATE)
    behind = _isv_level(OLD_MODULE.svn, TcbStatus.OUT_OF_DATE, rehearsal.module_advisories, OLDER_TCB_DATE)
    return [level, behind] if status is TcbStatus.UP_TO_DATE else [ahead, level, behind]


def _isv_level(svn: int, status: TcbStatus, advisories: tuple[str, ...], date: str) -> Document:
    return _with_advisories({"tcb": {"isvsvn": svn}, "tcbDate": date, "tcbStatus": status.value}, advisories)


def _with_advisories(level: Document, advisories: tuple[str, ...]) -> Document:
    """`advisoryIDs` is left out where it is empty, as Intel does."""
    return {**level, "advisoryIDs": list(advisories)} if advisories else level
