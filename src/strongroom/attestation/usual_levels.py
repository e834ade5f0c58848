"""Cut the levels out of TCB info in the one form that Intel gives them, without an object for each number.

Nine tenths of TCB info are levels, all spelled alike. Each is read here by one pattern; the rest of the text, with a
mark in place of the levels, is left to the general reader. Where anything is spelled otherwise (another order, white
space, a member that is not known, a number out of range), there is nothing to cut: the general reader takes the whole
text and says what is wrong with it, if anything is. The tests hold both readers to the same results.
"""

from __future__ import annotations

import re
from typing import Final

from strongroom.attestation.fields import MAX_TEXT_LENGTH
from strongroom.wire.strict_json import MAX_JSON_BYTES

COMPONENTS: Final = 16
MAX_PCE_SVN: Final = 0xFFFF
MARK: Final = "(cut)"  # stands for the levels in the rest; no text that has it is cut

_TEXT: Final = rf'"[ !#-\[\]-~]{{0,{MAX_TEXT_LENGTH}}}"'  # printable ASCII without quotation mark and backslash
_NUMBER: Final = r"(0|[1-9][0-9]{0,%d})"
_COMPONENT: Final = rf'\{{"svn":{_NUMBER % 2}(?:,"category":{_TEXT})?(?:,"type":{_TEXT})?\}}'
_LIST: Final = r"\[" + ",".join([_COMPONENT] * COMPONENTS) + r"\]"


def _form(tdx: str) -> re.Pattern[bytes]:
    return re.compile(
        rf'\{{"tcb":\{{"sgxtcbcomponents":{_LIST},"pcesvn":{_NUMBER % 4}{tdx}\}},"tcbDate":"([0-9TZ:-]{{0,32}})",'
        rf'"tcbStatus":"([A-Za-z]{{0,64}})"(?:,"advisoryIDs":\[({_TEXT}(?:,{_TEXT})*)?\])?\}}'.encode()
    )


_SGX_LEVEL: Final = _form("")
_TDX_LEVEL: Final = _form(f',"tdxtcbcomponents":{_LIST}')
_TDX_INFO: Final = b'{"id":"TDX",'
_START: Final = b'"tcbLevels":[{"tcb":{"sgxtcbcomponents":'
_BEFORE_FIRST: Final = len(b'"tcbLevels":[')
_AFTER: Final = frozenset({b",", b"]"})
_SVN: Final = {str(svn).encode(): svn for svn in range(256)}.__getitem__


# One level as it is spelled: 16 SGX SVNs, PCESVN, 16 TDX SVNs or none, date, status, advisories; numbers are in range.
UsualLevel = tuple[tuple[int, ...], int, tuple[int, ...], str, str, tuple[str, ...]]


def cut_levels(text: bytes) -> tuple[bytes, list[UsualLevel]] | None:
    """Return the text with MARK in place of the levels, and the levels; None where they are not in the usual form."""
    start = text.find(_START)
    if start < 0 or len(text) > MAX_JSON_BYTES or b"\\" in text or MARK.encode() in text:
        return None
    match = (_TDX_LEVEL if text.startswith(_TDX_INFO) else _SGX_LEVEL).match
    levels: list[UsualLevel] = []
    position = start + _BEFORE_FIRST - 1
    while True:
        found = match(text, position + 1)
        if found is None:
            return None
        groups, position = found.groups(), found.end()
        try:
            sgx, pce_svn = tuple(map(_SVN, groups[:COMPONENTS])), int(groups[COMPONENTS])
            tdx = tuple(map(_SVN, groups[COMPONENTS + 1 : -3]))
        except KeyError:  # above 255
            return None
        date, status, listed = groups[-3:]
        names = tuple(listed[1:-1].decode("ascii").split('","')) if listed else ()
        levels.append((sgx, pce_svn, tdx, date.decode("ascii"), status.decode("ascii"), names))
        after = text[position : position + 1]
        if pce_svn > MAX_PCE_SVN or after not in _AFTER:
            return None
        if after == b"]":
            return b'%b"tcbLevels":"%b"%b' % (text[:start], MARK.encode(), text[position + 1 :]), levels
