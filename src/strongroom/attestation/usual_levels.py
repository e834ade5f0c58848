"""Cut the levels out of TCB info in the one form that Intel gives them, without an object for each number.

Nine tenths of TCB info are levels, all spelled alike. Each is read here by one pattern; the rest of the text, with a
mark in place of the levels, is left to the general reader. Where anything is spelled otherwise (another order, white
space, a member that is not known, a number out of range), there is nothing to cut: the general reader takes the whole
text and says what is wrong with it, if anything is. The tests hold both readers to the same results.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from strongroom.attestation.fields import MAX_TEXT_LENGTH
from strongroom.wire.strict_json import MAX_JSON_BYTES

COMPONENTS: Final = 16
MAX_PCE_SVN: Final = 0xFFFF
MARK: Final = "(cut)"  # stands for the levels in the rest; no text that has it is cut

_TEXT: Final = r'"[ !#-\[\]-~]*"'  # printable ASCII without quotation mark and backslash
_NUMBER: Final = r"(0|[1-9][0-9]{0,%d})"
_COMPONENT: Final = rf'\{{"svn":{_NUMBER % 2}(?:,"category":{_TEXT})?(?:,"type":{_TEXT})?\}}'
_LIST: Final = r"\[" + ",".join([_COMPONENT] * COMPONENTS) + r"\]"
_LEVEL: Final = re.compile(
    rf'\{{"tcb":\{{"sgxtcbcomponents":{_LIST},"pcesvn":{_NUMBER % 4}(?:,"tdxtcbcomponents":{_LIST})?\}},'
    rf'"tcbDate":"([0-9TZ:-]*)","tcbStatus":"([A-Za-z]*)"(?:,"advisoryIDs":\[({_TEXT}(?:,{_TEXT})*)?\])?\}}'.encode()
)
_START: Final = b'"tcbLevels":[{"tcb":{"sgxtcbcomponents":'
_BEFORE_FIRST: Final = len(b'"tcbLevels":[')
_COMMA, _BRACKET = b",]"
_SVN: Final = {str(svn).encode(): svn for svn in range(256)}.__getitem__


class UsualLevel(NamedTuple):
    """One level as it is spelled; numbers are in range, texts of reasonable length."""

    components: tuple[int, ...]  # 16
    pce_svn: int
    tdx_components: tuple[int, ...]  # 16, or none
    date: str
    status: str
    advisories: tuple[str, ...]


def cut_levels(text: bytes) -> tuple[bytes, list[UsualLevel]] | None:
    """Return the text with MARK in place of the levels, and the levels; None where they are not in the usual form."""
    start = text.find(_START)
    if start < 0 or len(text) > MAX_JSON_BYTES or b"\\" in text or MARK.encode() in text:
        return None
    levels: list[UsualLevel] = []
    position = start + _BEFORE_FIRST - 1
    while True:
        found = _LEVEL.match(text, position + 1)
        level = _level(found) if found else None
        if found is None or level is None or found.end() == len(text):
            return None
        levels.append(level)
        position = found.end()
        if text[position] == _BRACKET:
            return b'%b"tcbLevels":"%b"%b' % (text[:start], MARK.encode(), text[position + 1 :]), levels
        if text[position] != _COMMA:
            return None


def _level(found: re.Match[bytes]) -> UsualLevel | None:
    """Return one level; None if a number or text is beyond its limit."""
    *numbers, date, status, listed = found.groups()
    pce_svn = int(numbers[COMPONENTS])
    names = tuple(listed[1:-1].decode("ascii").split('","')) if listed else ()
    # A text is no longer than what holds it, so that the limit is asked of each only where it could matter.
    if len(listed or b"") > MAX_TEXT_LENGTH and max(map(len, names)) > MAX_TEXT_LENGTH:
        return None
    if pce_svn > MAX_PCE_SVN or len(status) > MAX_TEXT_LENGTH or len(date) > MAX_TEXT_LENGTH:
        return None
    try:
        components = tuple(map(_SVN, numbers[:COMPONENTS]))
        tdx_components = () if numbers[-1] is None else tuple(map(_SVN, numbers[COMPONENTS + 1 :]))
    except KeyError:  # above 255
        return None
    return UsualLevel(components, pce_svn, tdx_components, date.decode(), status.decode(), names)
