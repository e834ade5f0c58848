"""Strict ASN.1 DER (X.690): one encoding for each value, every length checked, nothing after the end.

Refused: indefinite lengths, lengths not in their shortest form, multi-byte tags, non-minimal INTEGERs, BOOLEANs other
than 00 and FF, bytes left over. No recursion: a caller walks the structure it expects and names what it is reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
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
_LONG_INTEGER: Final = frozenset({(0x00, 0), (0xFF, 1)})  # a first byte that the top bit of the second repeats
_LONG_ARC: Final = re.compile(rb"(?:\A|[\x00-\x7f])\x80")  # a number that starts with seven zero bits
# An identifier of at most 127 bytes whose numbers are all in their shortest form.
_SHORT_OID: Final = re.compile(rb"(?:(?:[\x81-\xff][\x80-\xff]*)?[\x00-\x7f]){1,127}")
# An Extension whose lengths are short and whose identifier is one of RFC 5280's (2.5.29.x), up to its value.
_EXTENSION: Final = re.compile(
    rb"\x30([\x00-\x7f])\x06\x03(\x55\x1d[\x00-\x7f])(?:\x01\x01(\x00|\xff))?\x04([\x00-\x7f])"
)
# One that is not critical and of 256 bytes or more, its identifier's numbers in their shortest form, up to its value.
_LONG_EXTENSION: Final = re.compile(
    rb"\x30\x82([\x01-\xff][\x00-\xff])\x06[\x01-\x7f]((?:(?:[\x81-\xff][\x80-\xff]*)?[\x00-\x7f]){1,127}?)"
    rb"\x04\x82([\x01-\xff][\x00-\xff])"
)
# A name entry of one attribute whose lengths are short and whose type is one of X.520's (2.5.4.x), up to its value.
_ATTRIBUTE: Final = re.compile(rb"\x31[\x00-\x7f]\x30[\x00-\x7f]\x06\x03(\x55\x04[\x00-\x7f])[\x0c\x13\x16][\x00-\x7f]")
# Years, months, days, then hours to 23: newer releases of Python read 24:00:00 as the next day.
_TIME_DIGITS: Final = re.compile(r"[0-9]{8}(?:[01][0-9]|2[0-3])[0-9]{4}")

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
    """Walk the elements that lie side by side in `data`, down into one (`open`) and up again (`close`)."""

    __slots__ = ("_data", "_end", "_error", "_position", "_what")

    def __init__(self, data: bytes, *, what: str = "DER", error: Fault = Malformed) -> None:
        self._data = data
        self._position = 0
        self._end = len(data)
        self._what = what
        self._error = error

    @property
    def at_end(self) -> bool:
        """Whether all bytes are consumed."""
        return self._position == self._end

    def fault(self, sentence: str) -> StrongroomError:
        """Return (not raise) the caller's kind of error, with what was being read."""
        return self._error(f"{self._what}: {sentence}")

    def peek(self) -> int | None:
        """Return the tag byte of the next element; None at the end."""
        return None if self._position == self._end else self._data[self._position]

    def open(self, tag: int, field: str) -> int:
        """Go into the next element, which must carry `tag`; return what `close` needs to come out again."""
        outer, at, data = self._end, self._position, self._data
        # Here and in `content`: a short length, which most elements have, is decided without another call.
        if at + 1 < outer and data[at] == tag and (size := data[at + 1]) < 0x80 and at + 2 + size <= outer:
            self._position = at + 2
            self._end = at + 2 + size
        else:
            self._position, self._end = self._header(tag, field)
        return outer

    def close(self, outer: int) -> None:
        """Come out of an element, all of which must have been read."""
        if self._position != self._end:
            self.end()
        self._end = outer

    def content(self, tag: int, field: str) -> bytes:
        """Return the content of the next element, which must carry `tag`."""
        at, data = self._position, self._data
        if at + 1 < self._end and data[at] == tag and (size := data[at + 1]) < 0x80 and at + 2 + size <= self._end:
            self._position = stop = at + 2 + size
            return data[at + 2 : stop]
        start, self._position = self._header(tag, field)
        return data[start : self._position]

    def any_content(self, field: str) -> tuple[int, bytes]:
        """Return tag byte and content of the next element, whatever its tag."""
        at = self._position
        start, self._position = self._header(None, field)
        return self._data[at], self._data[start : self._position]

    def any_encoded(self, field: str) -> bytes:
        """Return the next element whole, whatever its tag."""
        at = self._position
        _, self._position = self._header(None, field)
        return self._data[at : self._position]

    def encoded(self, tag: int, field: str) -> bytes:
        """Return the next element, which must carry `tag`, whole."""
        at = self._position
        _, self._position = self._header(tag, field)
        return self._data[at : self._position]

    def constant(self, encoded: bytes) -> bool:
        """Step over the next bytes if they are `encoded`, one whole element; return whether they were."""
        stop = self._position + len(encoded)
        if stop > self._end or not self._data.startswith(encoded, self._position):
            return False
        self._position = stop
        return True

    def matched(self, form: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Step over the next bytes if they have `form`, which stands for whole elements; return what was found."""
        found = form.match(self._data, self._position, self._end)
        if found is not None:
            self._position = found.end()
        return found

    def read(self, tag: int, field: str) -> Element:
        """Return the next element, which must carry `tag`."""
        return self._element(*self._header(tag, field))

    def optional(self, tag: int, field: str) -> Element | None:
        """Return the next element if it carries `tag`."""
        return self.any(field) if self.peek() == tag else None

    def any(self, field: str) -> Element:
        """Return the next element, whatever its tag."""
        return self._element(*self._header(None, field))

    def _element(self, start: int, stop: int) -> Element:
        at, self._position = self._position, stop
        return Element(self._data[at], self._data[start:stop], self._data[at:stop])

    def _header(self, tag: int | None, field: str) -> tuple[int, int]:
        """Return where the content of the next element starts and stops; `tag` is None where any will do."""
        data, at, end = self._data, self._position, self._end
        if tag is not None and (at == end or data[at] != tag):
            found = "nothing" if at == end else f"tag {data[at]:02x}"
            raise self.fault(f"{field} wants tag {tag:02x} at offset {at}, found {found}")
        if end - at < 2:
            raise self.fault(f"{field} is cut off at offset {at}")
        if data[at] & 0x1F == 0x1F:
            raise self.fault(f"{field} uses a multi-byte tag at offset {at}")
        start, size = at + 2, data[at + 1]
        if size >= 0x80:
            start, size = self._length(at + 1, field)
        if start + size > end:
            raise self.fault(f"{field} announces {size} bytes at offset {at}, {end - start} are left")
        return start, start + size

    def _length(self, at: int, field: str) -> tuple[int, int]:
        """Return where the content starts and how long it is (X.690 section 10.1: definite, shortest form)."""
        count = self._data[at] & 0x7F
        octets = self._data[at + 1 : min(at + 1 + count, self._end)]
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
        return DerReader(self.content(tag, field), what=self._what, error=self._error)

    def each(self, tag: int, field: str) -> Iterator[DerReader]:
        """Yield a reader over the content of each remaining element; all must carry `tag`."""
        while not self.at_end:
            yield self.enter(tag, field)

    def pair(self) -> tuple[bytes, bytes]:
        """Return a SEQUENCE of OID and one value of any type: content of the identifier, the value whole."""
        data, at, end = self._data, self._position, self._end
        # The common case at once: lengths below 128, an identifier that ends within them.
        if at + 4 < end and data[at] == SEQUENCE and data[at + 2] == OID:
            stop, value = at + 2 + data[at + 1], at + 4 + data[at + 3]
            kind = data[at + 4 : value]
            if (
                value + 2 <= stop <= end
                and data[at + 1] < 0x80
                and value + 2 + data[value + 1] == stop
                and data[value + 1] < 0x80
                and data[value] & 0x1F != 0x1F
                and _SHORT_OID.fullmatch(kind)
            ):
                self._position = stop
                return kind, data[value:stop]
        outer = self.open(SEQUENCE, "pair")
        kind = self.oid_content("identifier")
        encoded = self.any_encoded("value")
        self.close(outer)
        return kind, encoded

    def extension(self) -> tuple[bytes, bool, bytes]:
        """Return an Extension (RFC 5280 section 4.2): content of its identifier, whether it is critical, its value."""
        data, at = self._data, self._position
        found = _EXTENSION.match(data, at, self._end)
        if found:
            size, kind, critical, value_size = found.groups()
            start = found.end()
            stop = start + value_size[0]
            if stop == at + 2 + size[0] and stop <= self._end:
                self._position = stop
                return kind, critical == b"\xff", data[start:stop]
        found = _LONG_EXTENSION.match(data, at, self._end)
        if found:
            size, kind, value_size = found.groups()
            start = found.end()
            stop = start + int.from_bytes(value_size, "big")
            if stop == at + 4 + int.from_bytes(size, "big") and stop <= self._end and found[0][5] == len(kind):
                self._position = stop
                return kind, False, data[start:stop]
        outer = self.open(SEQUENCE, "extension")
        kind = self.oid_content("extension identifier")
        is_critical = self.boolean("critical") if self.peek() == BOOLEAN else False
        value = self.octets("extension value")
        self.close(outer)
        return kind, is_critical, value

    def attributes(self, field: str) -> list[tuple[bytes, int, bytes]]:
        """Return the attributes of a Name (RFC 5280 section 4.1.2.4): content of the type, tag and content of each."""
        whole, data, end = self.open(SEQUENCE, field), self._data, self._end
        found: list[tuple[bytes, int, bytes]] = []
        while self._position != end:
            usual = _ATTRIBUTE.match(data, self._position, end)
            if usual:
                at, start = self._position, usual.end()
                stop = start + data[start - 1]
                if stop == at + 2 + data[at + 1] == at + 4 + data[at + 3] and stop <= end:
                    found.append((usual[1], data[start - 2], data[start:stop]))
                    self._position = stop
                    continue
            entries = self.open(SET, "name entry")
            while self._position != self._end:
                attribute = self.open(SEQUENCE, "name attribute")
                kind = self.content(OID, "attribute type")
                found.append((kind, *self.any_content("attribute value")))
                self.close(attribute)
            self.close(entries)
        self.close(whole)
        return found

    def end(self) -> None:
        """Raise if bytes are left over."""
        if self._position != self._end:
            raise self.fault(f"{self._end - self._position} bytes are left over")

    def integer(self, field: str, *, tag: int = INTEGER) -> int:
        """Return an INTEGER (or ENUMERATED) of up to 1024 bytes, in its shortest form."""
        content = self.content(tag, field)
        if len(content) > _MAX_INTEGER_OCTETS:
            raise self.fault(f"{field} is an integer of {len(content)} bytes, at most {_MAX_INTEGER_OCTETS} are read")
        if not content or (len(content) > 1 and (content[0], content[1] >> 7) in _LONG_INTEGER):
            raise self.fault(f"{field} is an integer that is not in its shortest form")
        return int.from_bytes(content, "big", signed=True)

    def boolean(self, field: str) -> bool:
        """Return a BOOLEAN: 00 or FF."""
        content = self.content(BOOLEAN, field)
        if content not in {b"\x00", b"\xff"}:
            raise self.fault(f"{field} is not a boolean")
        return content == b"\xff"

    def octets(self, field: str, size: int | None = None) -> bytes:
        """Return an OCTET STRING, of exactly `size` bytes where given."""
        content = self.content(OCTET_STRING, field)
        if size is not None and len(content) != size:
            raise self.fault(f"{field} has {len(content)} bytes, wanted {size}")
        return content

    def bits(self, field: str) -> bytes:
        """Return the bytes of a BIT STRING; unused bits must be zero, as DER has it."""
        content = self.content(BIT_STRING, field)
        if not content or content[0] > 7 or (content[0] and len(content) == 1):
            raise self.fault(f"{field} is not a bit string")
        unused, octets = content[0], content[1:]
        if unused and octets[-1] & ((1 << unused) - 1):
            raise self.fault(f"{field} is a bit string with unused bits set")
        return octets

    def oid(self, field: str) -> str:
        """Return an OBJECT IDENTIFIER in dotted form."""
        return dotted(self.oid_content(field))

    def oid_content(self, field: str) -> bytes:
        """Return an OBJECT IDENTIFIER as its content bytes, each number in its shortest form."""
        content = self.content(OID, field)
        if not content or content[-1] & 0x80:
            raise self.fault(f"{field} is not an object identifier")
        if len(content) > _MAX_OID_OCTETS:
            raise self.fault(f"{field} is an identifier of {len(content)} bytes, at most {_MAX_OID_OCTETS} are read")
        if _LONG_ARC.search(content):
            raise self.fault(f"{field} is an object identifier that is not in its shortest form")
        return content

    def time(self, field: str) -> datetime:
        """Return a UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 restricts them: seconds, and Z."""
        tag = self.peek()
        content = self.content(UTC_TIME if tag == UTC_TIME else GENERALIZED_TIME, field)
        digits = content[:-1].decode("ascii", errors="replace")
        if tag == UTC_TIME:
            digits = ("19" if digits[:2] >= "50" else "20") + digits
        if content[-1:] != b"Z" or not _TIME_DIGITS.fullmatch(digits):
            raise self.fault(f"{field} is not a time in UTC with seconds")
        try:
            return datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}Z")
        except ValueError:
            raise self.fault(f"{field} is not a day or time that exists") from None


def utc_time(digits: bytes) -> datetime:
    """Return the time that the twelve digits of a UTCTime spell; raise ValueError if there is none."""
    century = "19" if digits >= b"50" else "20"
    text = digits.decode("ascii")
    return datetime.fromisoformat(f"{century}{text[:6]}T{text[6:]}Z")


def read_whole(data: bytes, tag: int, *, what: str = "DER", error: Fault = Malformed) -> DerReader:
    """Return a reader over the content of the one element that `data` consists of."""
    outer = DerReader(data, what=what, error=error)
    inner = outer.enter(tag, "outermost element")
    outer.end()
    return inner


def dotted(content: bytes) -> str:
    """Return the dotted form of an object identifier's content bytes, which `oid_content` has checked."""
    arcs: list[int] = []
    arc = 0
    for octet in content:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    top = min(arcs[0] // 40, 2)
    return ".".join(str(part) for part in (top, arcs[0] - 40 * top, *arcs[1:]))


def oid_of(text: str) -> bytes:
    """Return the content bytes of an object identifier in dotted form, for comparing without decoding."""
    first, second, *rest = map(int, text.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        octets += bytes(reversed(groups))
    return bytes(octets)
