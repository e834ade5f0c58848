"""The ledger's lines: how one is written, and how a run of them is checked.

Pure. A line is one JSON object that names its place (`seq`) and the SHA-256 of the line before it (`prev`), so that a
removed, moved or changed line shows at the next one. The end of the chain is remembered outside (the head): without
it, lines cut off the end would not be missed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import Tampered
from strongroom.wire import strict_json

MAX_LINE_BYTES: Final = 64 * 1024
GENESIS_PREV: Final = "0" * 64
_FRAME: Final = ("seq", "time", "prev", "kind")


class LedgerBroken(Tampered):
    """A line of the ledger was removed, moved or changed, or lines are missing at its end."""

    code = "SR-LEDGER-BROKEN"
    fix = "Keep the file as evidence, find out who could write to it, and start a new ledger beside it."


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
        """Read what `to_text` wrote. Raises LedgerBroken."""
        number, _, digest = text.rstrip("\n").partition(" ")
        if len(number) != 20 or not number.isdecimal() or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise LedgerBroken("the remembered end of the ledger cannot be read")
        return cls(int(number), digest)


EMPTY: Final = Head(-1, GENESIS_PREV)


def timestamp(at: datetime) -> str:
    """Return a time as the ledger writes it: UTC, milliseconds, `Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_line(after: Head, record: Mapping[str, object], *, at: datetime) -> tuple[bytes, Head]:
    """Return the line (with its newline) that puts `record` behind `after`, and the new head.

    `record` has a `kind` and JSON values; the line's own place cannot be among them.
    """
    fields = {"seq": after.seq + 1, "time": timestamp(at), "prev": after.digest, **record}
    if fields["prev"] != after.digest or "kind" not in record:
        raise ValueError("a record has a kind, and no place of its own")
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode()
    if len(body) > MAX_LINE_BYTES:
        raise ValueError(f"a ledger line of {len(body)} bytes is too long")
    return body + b"\n", Head(after.seq + 1, hashlib.sha256(body).hexdigest())


def read_line(line: bytes, *, seq: int) -> dict[str, Any]:
    """Return the object on one line (without newline). Raises LedgerBroken if it is not what a ledger holds."""
    entry = strict_json.loads(line, what=f"ledger line {seq}", error=LedgerBroken, max_bytes=MAX_LINE_BYTES)
    if not isinstance(entry, dict) or not all(name in entry for name in _FRAME):
        raise LedgerBroken(f"ledger line {seq} is not a ledger entry")
    return entry


def check(lines: Iterable[bytes], *, remembered: Head | None = None) -> Head:
    """Walk the chain from its beginning and return its head. Raises LedgerBroken at the first line that does not fit.

    `remembered` is a head seen earlier: the chain has to contain it, and may go on behind it.
    """
    head = EMPTY
    for line in lines:
        entry = read_line(line, seq=head.seq + 1)
        if entry["seq"] != head.seq + 1 or isinstance(entry["seq"], bool):
            raise LedgerBroken(f"ledger line {head.seq + 1} calls itself {entry['seq']!r}: lines were removed or moved")
        if entry["prev"] != head.digest:
            raise LedgerBroken(f"ledger line {head.seq} is not the one that line {head.seq + 1} was written behind")
        head = Head(head.seq + 1, hashlib.sha256(line).hexdigest())
        if remembered is not None and remembered.seq == head.seq and remembered.digest != head.digest:
            raise LedgerBroken(f"ledger line {head.seq} is not the one that was remembered as the last")
    if remembered is not None and remembered.seq > head.seq:
        raise LedgerBroken(f"the ledger ends at line {head.seq}, but line {remembered.seq} was written")
    return head
