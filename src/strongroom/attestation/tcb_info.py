"""Read TCB info, Intel's table of what each platform generation should run (specification sections 4.1 and 4.4).

Versions 2 and 3 are read. Levels are sorted here, once, so that nothing later can depend on the order in the file.
The caller has checked the signature over exactly the bytes that come in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter, gt, itemgetter
from typing import Any, Final, NamedTuple

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, refusal, require
from strongroom.attestation.fields import Fields
from strongroom.attestation.pck import COMPONENTS
from strongroom.attestation.quote import Tee
from strongroom.attestation.status import TcbStatus, parse_status
from strongroom.attestation.tdx_module import TdxModules, read_modules
from strongroom.attestation.usual_levels import MARK, UsualLevel, cut_levels
from strongroom.attestation.validity import Window, timestamp_of

MAX_NUMBER: Final = 2**31 - 1
_MAX_PCE_SVN: Final = 0xFFFF
_SVN: Final[Callable[[Any], int]] = itemgetter("svn")
_NUMBERS: Final = {int}
_MODULE_KEYS: Final = ("tdxModule", "tdxModuleIdentities")


class TcbLevel(NamedTuple):
    """One row: the SVNs a platform must reach, and what Intel says of one that does. A table has up to 20."""

    components: tuple[int, ...]  # 16 SGX SVNs
    pce_svn: int
    tdx_components: tuple[int, ...]  # 16, or none in SGX info
    date: datetime
    status: TcbStatus
    advisories: tuple[str, ...]

    @property
    def rank(self) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        """What levels are sorted by, higher first (section 6.1)."""
        return self.components, self.pce_svn, self.tdx_components


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """TCB info of one platform family; `levels` are in descending order and no two are equal."""

    tee: Tee
    version: int
    issued: datetime
    next_update: datetime
    fmspc: bytes  # 6 bytes
    pce_id: bytes  # 2 bytes
    evaluation_number: int
    levels: tuple[TcbLevel, ...]
    tdx_modules: TdxModules | None  # for TDX, None for SGX

    @property
    def window(self) -> Window:
        """When it counts."""
        return Window("TCB info", self.issued, self.next_update, EvidenceCode.TCB_INFO_EXPIRED, excusable=True, step=6)


def parse_tcb_info(text: bytes) -> TcbInfo:
    """Return the TCB info in `text`; raise EvidenceRefused (TCB_INFO_VERSION, TCB_TYPE, TCB_INFO_FORMAT, …)."""
    rest, usual = cut_levels(text) or (text, [])
    info = Fields.parse(rest, what="TCB info", error=refusal(EvidenceCode.TCB_INFO_FORMAT))
    if usual and not _fit(usual, info):
        info, usual = Fields.parse(text, what=info.what, error=info.error), []
    version = info.integer("version")
    require(
        version in {2, 3},
        EvidenceCode.TCB_INFO_VERSION,
        f"the TCB info's version is {str(version)[:24]}, wanted 2 or 3",
    )
    tcb_type = info.integer("tcbType")
    require(tcb_type == 0, EvidenceCode.TCB_TYPE, f"the TCB type is {str(tcb_type)[:24]}, wanted 0")
    tee = _tee(info, version)
    if usual:
        levels = [_usual_level(level) for level in usual]
    else:
        levels = [_level(level, version, tee) for level in info.objects("tcbLevels")]
    require(bool(levels), EvidenceCode.TCB_INFO_FORMAT, "the TCB info has no levels")
    ranks = [level.rank for level in levels]
    if not all(map(gt, ranks, ranks[1:])):  # which they nearly always are: in descending order, and no two equal
        levels.sort(key=attrgetter("rank"), reverse=True)
        require(len(set(ranks)) == len(ranks), EvidenceCode.TCB_INFO_FORMAT, "the TCB info has two equal levels")
    return TcbInfo(
        tee=tee,
        version=version,
        issued=info.date("issueDate"),
        next_update=info.date("nextUpdate"),
        fmspc=info.hex("fmspc", 6),
        pce_id=info.hex("pceId", 2),
        evaluation_number=info.number("tcbEvaluationDataNumber", limit=MAX_NUMBER),
        levels=tuple(levels),
        tdx_modules=read_modules(info) if tee is Tee.TDX else None,
    )


def _fit(usual: Sequence[UsualLevel], info: Fields) -> bool:
    """Whether levels that were cut out are those of the info, and have what its version and TEE want."""
    components = COMPONENTS if info.value.get("id") == Tee.TDX else 0
    return (
        info.value.get("tcbLevels") == MARK
        and info.value.get("version") == 3
        and all(len(tdx) == components for _, _, tdx, *_ in usual)
    )


def _tee(info: Fields, version: int) -> Tee:
    """Return what the info is for. Version 2 has no `id` and means SGX; TDX info, and it alone, has a module."""
    if version == 2 and not info.has("id"):
        tee = Tee.SGX
    else:
        word = info.text("id")
        if word not in {Tee.SGX, Tee.TDX} or (version == 2 and word != Tee.SGX):
            raise info.error(f"TCB info of version {version} is for {word[:64]!r}")
        tee = Tee(word)
    if tee is Tee.SGX and any(info.has(name) for name in _MODULE_KEYS):
        raise info.error("SGX TCB info describes a TDX module")
    return tee


def _usual_level(level: UsualLevel) -> TcbLevel:
    components, pce_svn, tdx_components, spelled, status, advisories = level
    date = timestamp_of(spelled)
    if date is None:
        raise EvidenceRefused(f"a tcbDate is {spelled!r}", reason=EvidenceCode.TCB_INFO_FORMAT)
    return TcbLevel(components, pce_svn, tdx_components, date, parse_status(status), advisories)


def _level(level: Fields, version: int, tee: Tee) -> TcbLevel:
    tcb = level.nested("tcb")
    if version == 2:
        components = tuple(tcb.number(f"sgxtcbcomp{index:02}svn", limit=0xFF) for index in range(1, COMPONENTS + 1))
    else:
        components = _components(tcb, "sgxtcbcomponents")
    return TcbLevel(
        components=components,
        pce_svn=tcb.number("pcesvn", limit=_MAX_PCE_SVN),
        tdx_components=_components(tcb, "tdxtcbcomponents") if tee is Tee.TDX else (),
        date=level.date("tcbDate"),
        status=parse_status(level.text("tcbStatus")),
        advisories=level.texts("advisoryIDs"),
    )


def _components(tcb: Fields, name: str) -> tuple[int, ...]:
    """Return the 16 SVNs of a list of objects; a table has hundreds of them, so they are checked together."""
    components = tcb.items(name)
    if len(components) != COMPONENTS:
        raise tcb.error(f"{name} has {len(components)} entries, wanted {COMPONENTS}")
    try:
        svns = tuple(map(_SVN, components))
        in_range = len(bytes(svns)) == COMPONENTS
    except (TypeError, KeyError, ValueError):  # no object, no svn, no number, out of range
        in_range = False
    if not in_range or set(map(type, svns)) != _NUMBERS:  # a bool is an int, and no SVN
        raise tcb.error(f"{name}: an svn is not a whole number from 0 to 255")
    return svns
