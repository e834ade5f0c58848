"""The ledger's lines: how one is written, and how a run of them is checked.

Pure. A line is one JSON object that names its place (`seq`) and the SHA-256 of the line before it (`prev`), so that a
removed, moved or changed line shows at the next one. The end of the chain is remembered outside (the head): without
it, lines cut off the end would not be missed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.broker.ledger.faults import (
    HeadChanged,
    LedgerBroken,
    LedgerTruncated,
    LineChanged,
    LineMoved,
    LineRemoved,
)
from strongroom.wire import strict_json

MAX_LINE_BYTES: Final = 64 * 1024
GENESIS_PREV: Final = "0" * 64
_FRAME: Final = ("seq", "time", "prev", "kind")
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the last line's number and SHA-256, in hex."""

    seq: int
    digest: str

    def to_text(self) -> str:
        """Return the head as one line of constant length."""
        return f"{self.seq:020d} {self.digest}\n"

    @classmethod
    def from_text(cls, text: str) -> Head:
        """Read what `to_text` wrote. Raises HeadChanged."""
        number, _, digest = text.rstrip("\n").partition(" ")
        if len(number) != 20 or not number.isdecimal() or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise HeadChanged("the remembered end of the ledger cannot be read")
        return cls(int(number), digest)


EMPTY: Final = Head(-1, GENESIS_PREV)


def digest(line: bytes) -> str:
    """Return the SHA-256 of a line (without its newline), in hex: what the next one names."""
    return hashlib.sha256(line).hexdigest()


def timestamp(at: datetime) -> str:
    """Return a time as the ledger writes it: UTC, milliseconds, `Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_ms(at_ms: int) -> str:
    """Return milliseconds since 1970 as the ledger writes a time."""
    seconds, rest = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{rest:03d}Z"


def write_line(
    after: Head, record: Mapping[str, object], *, at: datetime | None = None, time: str = ""
) -> tuple[bytes, Head]:
    """Return the line (with its newline) that puts `record` behind `after`, and the new head.

    `record` has a `kind` and JSON values; the line's own place cannot be among them. The line's time is `at`, or
    `time` as it will stand there.
    """
    fields = {"seq": after.seq + 1, "time": timestamp(at) if at else time, "prev": after.digest, **record}
    if len(fields) != len(record) + 3 or "kind" not in record:
        raise ValueError("a record has a kind, and no place of its own")
    body = _ENCODER.encode(fields).encode()
    if len(body) > MAX_LINE_BYTES:
        raise ValueError(f"a ledger line of {len(body)} bytes is too long")
    return body + b"\n", Head(after.seq + 1, digest(body))


def read_line(line: bytes, *, seq: int) -> dict[str, Any]:
    """Return the object on one line (without newline). Raises LedgerBroken if it is not what a ledger holds."""
    entry = strict_json.loads(line, what=f"ledger line {seq}", error=LedgerBroken, max_bytes=MAX_LINE_BYTES)
    if not isinstance(entry, dict) or not all(name in entry for name in _FRAME):
        raise LedgerBroken(f"ledger line {seq} is not a ledger entry")
    return entry


def walk(lines: Iterable[bytes]) -> Iterator[tuple[Head, bytes, dict[str, Any]]]:
    """Yield each line with the head that it makes and its entry, as long as it fits.

    Raises LineRemoved, LineMoved, LineChanged or LedgerBroken at the first one that does not.
    """
    head, rest = EMPTY, iter(lines)
    for line in rest:
        number = head.seq + 1
        entry = read_line(line, seq=number)
        if type(entry["seq"]) is not int:
            raise LineChanged(f"ledger line {number} does not say its number")
        if entry["seq"] != number:
            raise _out_of_place(number, entry["seq"], rest)
        if entry["prev"] != head.digest:
            raise LineChanged(
                f"ledger line {number} was not written behind line {head.seq} as that stands here: one was changed"
                if number
                else "ledger line 0 says that another line stood before it"
            )
        head = Head(number, digest(line))
        yield head, line, entry


def check(lines: Iterable[bytes], *, remembered: Head | None = None) -> Head:
    """Walk the chain from its beginning and return its head. Raises LedgerBroken at the first line that does not fit.

    `remembered` is a head seen earlier: the chain has to contain it, and may go on behind it.
    """
    head = EMPTY
    for head, _, _ in walk(lines):
        check_against(head, remembered)
    if remembered is not None and remembered.seq > head.seq:
        raise LedgerTruncated(f"the ledger ends at line {head.seq}, but line {remembered.seq} was written")
    return head


def check_against(head: Head, remembered: Head | None) -> None:
    """Raise LineChanged if `remembered` names the same line with another content."""
    if remembered is not None and remembered.seq == head.seq and remembered.digest != head.digest:
        raise LineChanged(f"ledger line {head.seq} is not the one that was remembered as the last")


def _out_of_place(wanted: int, seen: int, rest: Iterator[bytes]) -> LedgerBroken:
    """Say what happened where line `seen` stands in the place of line `wanted`."""
    if seen < wanted:
        return LineMoved(f"line {seen} stands again where line {wanted} should stand")
    for line in rest:
        if _number(line) == wanted:
            return LineMoved(f"line {seen} stands before line {wanted}: lines were moved")
    return LineRemoved(f"line {seen} stands where line {wanted} should stand: lines were removed")


def _number(line: bytes) -> object:
    try:
        return read_line(line, seq=0)["seq"]
    except LedgerBroken:
        return None
