"""CSV as Spark, pandas and we write it, as the one form that Arrow reads: RFC 4180's, a quote in quotes doubled. Pure.

Spark puts an escape (a backslash, if nothing else was asked for) before a quote, and before another escape, within
quotes alone; Arrow would look for it everywhere. What readers take differently, such as text behind a closing quote, is
refused. A file without a quote, or a piece of one, is only looked through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import RawIOBase
from typing import Final

from strongroom.analytics.source.blocks import BLOCK_BYTES
from strongroom.analytics.source.faults import BadRows
from strongroom.analytics.source.options import Options

_BOM: Final = b"\xef\xbb\xbf"
_AT_ONCE: Final = 1000  # values: Python keeps a note of each until a match is done
_BROKEN: Final = (
    "Give the options the file was written with: escape ('\"' where quotes are doubled and backslashes mean nothing, "
    "as RFC 4180 and pandas have it), quote, delimiter, and multiLine where values have several lines."
)


class Quoting:
    """How values stand within quotes."""

    def __init__(self, options: Options) -> None:
        self.quote: Final = options.quote.encode()
        self._escape: Final = options.escape.encode()
        quote, escape = re.escape(self.quote), re.escape(self._escape)
        between = re.escape(options.delimiter.encode()) + rb"\r\n"
        plain = quote + (b"" if options.multi_line else rb"\r\n")
        # No group is possessive: Python before 3.11.5 loses matches of such. None needs to be: a quote ends a value or
        # is one of two, and an escape goes with what is behind it, so that there is one way to read a text.
        letters, pair = rb"[^%b]*+" % plain, quote * 2
        if self.escaped:
            letters = rb"[^%b%b]*+" % (plain, escape)
            pair = rb"(?:%b|%b(?:[%b%b]|(?![%b%b])))" % (pair, escape, quote, escape, quote, escape)
        inside = rb"%b(?:%b%b)*" % (letters, pair, letters)
        self.between: Final = re.compile(rb"[%b]" % between)
        whole = rb"(?:(?<=[%b])|\A)%b(%b)%b" % (between, quote, inside, quote)
        self.values: Final = re.compile(rb"(?:[^%b]*+%b(?=[%b])){0,%d}" % (quote, whole, between, _AT_ONCE))
        self.value: Final = re.compile(rb"%b(?=[%b]|\Z)" % (whole, between))
        self.open: Final = re.compile(rb"%b%b%b?+\Z" % (quote, inside, quote))
        self._pair: Final = re.compile(rb"%b([%b%b])" % (escape, quote, escape))
        self._doubled: Final = self.quote * 2

    @property
    def escaped(self) -> bool:
        """Whether a quote in quotes can have an escape before it."""
        return self._escape != self.quote

    def doubled(self, values: bytes, *, odd: bool) -> bytes:
        """Return whole values with quotes doubled instead of escaped. `odd`: values without quotes may have some."""
        if not self.escaped or self._escape not in values:
            return values
        if not odd and self._escape * 2 not in values:
            return values.replace(self._escape + self.quote, self._doubled)  # every quote is one of a value in quotes
        return self.value.sub(self._value, values)

    def _value(self, found: re.Match[bytes]) -> bytes:
        text = found[1]
        if self._escape in text:
            text = self._pair.sub(self._single, text)
        return self.quote + text + self.quote

    def _single(self, found: re.Match[bytes]) -> bytes:
        return self._doubled if found[1] == self.quote else self._escape


def rfc4180(stream: RawIOBase, options: Options) -> Iterator[bytes]:
    """Yield a file in pieces, its quotes doubled. Raises BadRows."""
    quoting = Quoting(options) if options.quote else None
    rest = (stream.read(BLOCK_BYTES) or b"").removeprefix(_BOM).lstrip(b"\r\n")
    while rest:
        read = stream.read(BLOCK_BYTES) or b""
        end, odd = (len(rest), False) if quoting is None else _whole(rest, quoting, last=not read)
        if not end and len(rest) > BLOCK_BYTES:
            raise BadRows(f"a value has more than {BLOCK_BYTES} bytes, or a quote is never closed", fix=_BROKEN)
        values, rest = rest[:end], rest[end:] + read
        if not read and not values.endswith((b"\r", b"\n")):
            values += b"\n"  # without it Arrow takes nothing at the end for a text
        if values:
            yield values if quoting is None else quoting.doubled(values, odd=odd)


def _whole(data: bytes, quoting: Quoting, *, last: bool) -> tuple[int, bool]:
    """Return where the last whole value of a piece ends, and whether one without quotes has some. Raises BadRows."""
    at, odd = 0, False
    while True:
        while (found := quoting.values.match(data, at)) is not None and found.end() > at:
            at = found.end()
        quote = data.find(quoting.quote, at)
        if quote < 0:
            return (len(data) if last else _after_last(data, quoting, at)), odd
        if quote and not quoting.between.match(data, quote - 1):  # of a value without quotes: a quote as any letter
            odd = True
            end = quoting.between.search(data, quote)
            if end is None:
                return (len(data) if last else _after_last(data[:quote], quoting, at)), odd
            at = end.start()
            continue
        if quoting.open.match(data, quote) is None:
            raise BadRows("a value within quotes is not followed by a delimiter or the row's end", fix=_BROKEN)
        if last and quoting.value.match(data, quote) is None:
            raise BadRows("a quote is never closed", fix=_BROKEN)
        return (len(data) if last else quote), odd


def _after_last(data: bytes, quoting: Quoting, least: int) -> int:
    """Return the place behind the last delimiter or line end, `least` where there is none behind that."""
    for at in range(len(data) - 1, least - 1, -1):
        if quoting.between.match(data, at):
            return at + 1
    return least
