"""Strict ASN.1 DER (X.690): one encoding for each value, every length checked, nothing after the end.

Refused: indefinite lengths, lengths not in their shortest form, multi-byte tags, non-minimal INTEGERs, BOOLEANs other
than 00 and FF, bytes left over. No recursion: a caller walks the structure it expects and names what it is reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from strongroom.errors import StrongroomError
from strongroom.wire.reader import Malformed

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OID: Final = 0x06
ENUMERATED: Final = 0x0A
UTF8_STRING: Final = 0x0C
PRINTABLE_STRING: Final = 0x13
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

_MAX_LENGTH_OCTETS: Final = 4
_MAX_INTEGER_OCTETS: Final = 1024  # twice the RSA moduli in use; Python refuses to print numbers of 1800
_MAX_OID_OCTETS: Final = 128
_UTC_TIME: Final = re.compile(rb"[0-9]{12}Z")
_GENERALIZED_TIME: Final = re.compile(rb"[0-9]{14}Z")

Fault = Callable[[str], StrongroomError]


def context(number: int, *, constructed: bool = True) -> int:
    """Return the tag byte of a context-specific element, `[number]` in ASN.1."""
    return (0xA0 if constructed else 0x80) | number


class Element(NamedTuple):
    """One TLV: its tag byte, its content, and both together as they were encoded."""

    tag: int
    content: bytes
    encoded: bytes


class DerReader:
    """Walk the elements that lie side by side in `data`."""

    __slots__ = ("_data", "_error", "_position", "_what")

    def __init__(self, data: bytes, *, what: str = "DER", error: Fault = Malformed) -> None:
        self._data = data
        self._position = 0
        self._what = what
        self._error = error

    @property
    def at_end(self) -> bool:
        """Whether all bytes are consumed."""
        return self._position == len(self._data)

    def fault(self, sentence: str) -> StrongroomError:
        """Return (not raise) the caller's kind of error, with what was being read."""
        return self._error(f"{self._what}: {sentence}")

    def peek(self) -> int | None:
        """Return the tag byte of the next element; None at the end."""
        return None if self.at_end else self._data[self._position]

    def read(self, tag: int, field: str) -> Element:
        """Return the next element, which must carry `tag`."""
        if self.peek() != tag:
            found = "nothing" if self.at_end else f"tag {self._data[self._position]:02x}"
            raise self.fault(f"{field} wants tag {tag:02x} at offset {self._position}, found {found}")
        return self.any(field)

    def optional(self, tag: int, field: str) -> Element | None:
        """Return the next element if it carries `tag`."""
        return self.any(field) if self.peek() == tag else None

    def any(self, field: str) -> Element:
        """Return the next element, whatever its tag."""
        data, start = self._data, self._position
        if len(data) - start < 2:
            raise self.fault(f"{field} is cut off at offset {start}")
        tag, size, body = data[start], data[start + 1], start + 2
        if tag & 0x1F == 0x1F:
            raise self.fault(f"{field} uses a multi-byte tag at offset {start}")
        if size >= 0x80:
            body, size = self._length(start + 1, field)
        end = body + size
        if end > len(data):
            raise self.fault(f"{field} announces {size} bytes at offset {start}, {len(data) - body} are left")
        self._position = end
        return Element(tag, data[body:end], data[start:end])

    def _length(self, at: int, field: str) -> tuple[int, int]:
        """Return where the content starts and how long it is (X.690 section 10.1: definite, shortest form)."""
        count = self._data[at] & 0x7F
        octets = self._data[at + 1 : at + 1 + count]
        if count == 0:
            raise self.fault(f"{field} uses an indefinite length at offset {at}")
        if count > _MAX_LENGTH_OCTETS or len(octets) != count:
            raise self.fault(f"{field} has a length of {count} octets at offset {at}")
        size = int.from_bytes(octets, "big")
        if size < 0x80 or octets[0] == 0:
            raise self.fault(f"{field} has a length that is not in its shortest form at offset {at}")
        return at + 1 + count, size

    def inside(self, element: Element) -> DerReader:
        """Return a reader over an element's content."""
        return DerReader(element.content, what=self._what, error=self._error)

    def enter(self, tag: int, field: str) -> DerReader:
        """Return a reader over the content of the next element, which must carry `tag`."""
        return self.inside(self.read(tag, field))

    def each(self, tag: int, field: str) -> Iterator[DerReader]:
        """Yield a reader over the content of each remaining element; all must carry `tag`."""
        while not self.at_end:
            yield self.enter(tag, field)

    def end(self) -> None:
        """Raise if bytes are left over."""
        if not self.at_end:
            raise self.fault(f"{len(self._data) - self._position} bytes are left over")

    def integer(self, field: str, *, tag: int = INTEGER) -> int:
        """Return an INTEGER (or ENUMERATED) of up to 1024 bytes, in its shortest form."""
        content = self.read(tag, field).content
        if len(content) > _MAX_INTEGER_OCTETS:
            raise self.fault(f"{field} is an integer of {len(content)} bytes, at most {_MAX_INTEGER_OCTETS} are read")
        if not content or (len(content) > 1 and (content[0], content[1] >> 7) in {(0x00, 0), (0xFF, 1)}):
            raise self.fault(f"{field} is an integer that is not in its shortest form")
        return int.from_bytes(content, "big", signed=True)

    def boolean(self, field: str) -> bool:
        """Return a BOOLEAN: 00 or FF."""
        content = self.read(BOOLEAN, field).content
        if content not in {b"\x00", b"\xff"}:
            raise self.fault(f"{field} is not a boolean")
        return content == b"\xff"

    def octets(self, field: str, size: int | None = None) -> bytes:
        """Return an OCTET STRING, of exactly `size` bytes where given."""
        content = self.read(OCTET_STRING, field).content
        if size is not None and len(content) != size:
            raise self.fault(f"{field} has {len(content)} bytes, wanted {size}")
        return content

    def bits(self, field: str) -> bytes:
        """Return the bytes of a BIT STRING; unused bits must be zero, as DER has it."""
        content = self.read(BIT_STRING, field).content
        if not content or content[0] > 7 or (content[0] and len(content) == 1):
            raise self.fault(f"{field} is not a bit string")
        unused, octets = content[0], content[1:]
        if unused and octets[-1] & ((1 << unused) - 1):
            raise self.fault(f"{field} is a bit string with unused bits set")
        return octets

    def oid(self, field: str) -> str:
        """Return an OBJECT IDENTIFIER in dotted form."""
        content = self.read(OID, field).content
        if not content or content[-1] & 0x80:
            raise self.fault(f"{field} is not an object identifier")
        if len(content) > _MAX_OID_OCTETS:
            raise self.fault(f"{field} is an identifier of {len(content)} bytes, at most {_MAX_OID_OCTETS} are read")
        arcs: list[int] = []
        arc, fresh = 0, True
        for octet in content:
            if fresh and octet == 0x80:
                raise self.fault(f"{field} is an object identifier that is not in its shortest form")
            arc, fresh = arc << 7 | octet & 0x7F, not octet & 0x80
            if fresh:
                arcs.append(arc)
                arc = 0
        top = min(arcs[0] // 40, 2)
        return ".".join(str(part) for part in (top, arcs[0] - 40 * top, *arcs[1:]))

    def time(self, field: str) -> datetime:
        """Return a UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 restricts them: seconds, and Z."""
        element = self.any(field)
        text = element.content
        if element.tag == UTC_TIME and _UTC_TIME.fullmatch(text):
            text = (b"19" if text[:2] >= b"50" else b"20") + text
        elif element.tag != GENERALIZED_TIME or not _GENERALIZED_TIME.fullmatch(text):
            raise self.fault(f"{field} is not a time in UTC with seconds")
        numbers = [int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))]
        try:
            return datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]  # six numbers, by the patterns above
        except ValueError:
            raise self.fault(f"{field} is not a day or time that exists") from None


def read_whole(data: bytes, tag: int, *, what: str = "DER", error: Fault = Malformed) -> DerReader:
    """Return a reader over the content of the one element that `data` consists of."""
    outer = DerReader(data, what=what, error=error)
    inner = outer.enter(tag, "outermost element")
    outer.end()
    return inner
