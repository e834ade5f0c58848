"""Levels by one SVN: how current an enclave or a TDX module is (specification sections 4.1 and 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter, gt
from typing import Final, NamedTuple

from strongroom.attestation.codes import EvidenceCode, EvidenceRefused
from strongroom.attestation.fields import Fields
from strongroom.attestation.status import TcbStatus, parse_status

_STATUSES: Final = frozenset({TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED})


class IsvLevel(NamedTuple):
    """One row: the SVN that must be reached, and what Intel says of who reaches it."""

    isv_svn: int
    date: datetime
    status: TcbStatus
    advisories: tuple[str, ...]


def read_isv_levels(owner: Fields) -> tuple[IsvLevel, ...]:
    """Return the `tcbLevels` of an identity in descending order; there is at least one, and no two are equal."""
    levels = list(map(_level, owner.objects("tcbLevels")))
    if not levels:
        raise owner.error(f"the {owner.what} has no levels")
    svns = [level.isv_svn for level in levels]
    if not all(map(gt, svns, svns[1:])):  # which they nearly always are: in descending order, and no two equal
        levels.sort(key=attrgetter("isv_svn"), reverse=True)
        if len(set(svns)) != len(svns):
            raise owner.error(f"the {owner.what} has two levels of one SVN")
    return tuple(levels)


def level_reached(levels: Sequence[IsvLevel], isv_svn: int, *, who: str) -> IsvLevel:
    """Return the first of the (descending) levels that an SVN reaches; raise EvidenceRefused (TCB_NOT_SUPPORTED)."""
    for level in levels:
        if level.isv_svn <= isv_svn:
            return level
    raise EvidenceRefused(
        f"the {who} has SVN {isv_svn}, below every level of its identity", reason=EvidenceCode.TCB_NOT_SUPPORTED
    )


def _level(level: Fields) -> IsvLevel:
    return IsvLevel(
        isv_svn=level.nested("tcb").number("isvsvn", limit=0xFFFF),
        date=level.date("tcbDate"),
        status=_status(level.text("tcbStatus")),
        advisories=level.texts("advisoryIDs"),
    )


def _status(word: str) -> TcbStatus:
    """Return one of the three statuses that enclaves and modules have; a platform's other words have no meaning here.

    Convergence (section 6.3) would let them pass as if they said UpToDate, so they are refused.
    """
    status = parse_status(word)
    if status not in _STATUSES:
        raise EvidenceRefused(
            f"{word!r} is a platform's status, not an enclave's or a module's",
            reason=EvidenceCode.TCB_UNRECOGNIZED_STATUS,
        )
    return status
