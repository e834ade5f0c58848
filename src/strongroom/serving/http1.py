"""HTTP/1.1 requests from bytes, with every limit checked while they arrive. Sans I/O.

httptools (llhttp) reads the syntax; this decides sizes, body encodings and what ends a connection. A request that
breaks a rule becomes a `Refusal` in its place, and nothing after it is read. The rest of a large body whose length is
known has no syntax: it is read or copied to its place, and httptools, which would copy it twice, does not see it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import httptools
import numpy as np

MAX_TARGET_BYTES: Final = 16 * 1024
MAX_HEADER_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 128
LARGE_BYTES: Final = 64 * 1024  # still to come of a body that is copied to its place
RESERVED_FACTOR: Final = 16  # a body may have so many times the memory that has come reserved, not touched


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request; header names are lower case, the body is as it was sent (a memoryview where it is large)."""

    method: str
    target: bytes
    headers: Mapping[str, str]
    body: bytes | memoryview
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the connection ends here: an HTTP status and a sentence."""

    status: int
    sentence: str


@dataclass(slots=True)
class _Partial:
    """The request that is arriving."""

    target: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)
    header_bytes: int = 0
    header_count: int = 0
    body: list[bytes] = field(default_factory=list)
    body_bytes: int = 0
    announced: int = 0  # bytes of the body, where nothing but these bytes will come
    place: memoryview | None = None  # all of the body, of which `body_bytes` have come
    method: str = ""
    keep_alive: bool = False


class RequestReader:
    """Bytes in, requests out. `arriving` and `in_body` say what a deadline should wait for."""

    def __init__(self, *, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._partial = _Partial()
        self._found: list[Request | Refusal] = []
        self.arriving = False  # the first bytes of a request are here, the last are not
        self.in_body = False
        self.wants_continue = False  # the peer waits for "100 Continue" before it sends its body
        self.ended = False

    @property
    def body_bytes(self) -> int:
        """Bytes of the arriving body so far."""
        return self._partial.body_bytes

    @property
    def place(self) -> memoryview | None:
        """Where the next bytes belong, if it is known: `receive` does not copy what was read to there."""
        place = self._partial.place
        return None if place is None else place[self._partial.body_bytes :]

    def forget(self) -> None:
        """Drop what has arrived of a body that nobody will read."""
        self._partial.body.clear()
        self._partial.body_bytes = self._partial.announced = 0
        self._partial.place = None

    def receive(self, data: bytes | memoryview) -> list[Request | Refusal]:
        """Take bytes; return what is complete. After a Refusal nothing more is read."""
        if self.ended:
            return []
        self._found = []
        if self._partial.place is not None:
            data = self._fill(self._partial.place, data)
        if len(data):
            self._parse(data)
        return self._found

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._stay_with_http1()
        except httptools.HttpParserError:
            self._refuse(400, "the request is not HTTP/1.1")
        partial = self._partial
        if (
            partial.announced - partial.body_bytes >= LARGE_BYTES
            and partial.announced <= RESERVED_FACTOR * partial.body_bytes
            and not self.ended
        ):
            self._reserve(partial)

    def _reserve(self, partial: _Partial) -> None:
        """Make room for a body, and put there what has come; httptools has said all that it can."""
        partial.method, partial.keep_alive = (
            self._parser.get_method().decode("latin-1"),
            self._parser.should_keep_alive(),
        )
        partial.place = np.empty(partial.announced, np.uint8).data
        partial.place[: partial.body_bytes] = b"".join(partial.body)
        partial.body.clear()

    def _fill(self, place: memoryview, data: bytes | memoryview) -> bytes | memoryview:
        """Take a body's bytes; hand out the request if it is whole; return what comes after it."""
        partial, at = self._partial, self._partial.body_bytes
        part = data[: len(place) - at]
        if not isinstance(part, memoryview) or part.obj is not place.obj:  # else it was read to its place
            place[at : at + len(part)] = part
        partial.body_bytes += len(part)
        if partial.body_bytes == len(place):
            self._parser = httptools.HttpRequestParser(self)
            self._hand_out(place.toreadonly(), partial.method, keep_alive=partial.keep_alive)
        return data[len(part) :]

    def _stay_with_http1(self) -> None:
        """Answer a request that asks for another protocol as if it had not; read nothing after it (RFC 9110 7.8)."""
        self.ended = True
        if self._found and isinstance(asking := self._found[-1], Request):
            self._found[-1] = replace(asking, keep_alive=False)

    def _refuse(self, status: int, sentence: str) -> None:
        if not self.ended:
            self.ended = True
            self._found.append(Refusal(status, sentence))

    # What httptools calls. An exception here would be wrapped and lost, so refusals are noted.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._partial = _Partial()
        self.arriving, self.in_body, self.wants_continue = True, False, False

    def on_url(self, part: bytes) -> None:
        """Collect the target."""
        self._partial.target += part
        if len(self._partial.target) > MAX_TARGET_BYTES:
            self._refuse(414, f"the request's target is longer than {MAX_TARGET_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; a repeated one is joined by commas, as RFC 9110 section 5.3 reads it."""
        partial = self._partial
        partial.header_bytes += len(name) + len(value)
        partial.header_count += 1
        if partial.header_bytes > MAX_HEADER_BYTES or partial.header_count > MAX_HEADERS:
            self._refuse(431, f"headers have more than {MAX_HEADER_BYTES} bytes or {MAX_HEADERS} lines")
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        partial.headers[key] = f"{partial.headers[key]}, {text}" if key in partial.headers else text

    def on_headers_complete(self) -> None:
        """Check the announced size before any of the body is kept."""
        headers = self._partial.headers
        announced = headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self._max_body_bytes:
            self._refuse(413, f"the body is longer than {self._max_body_bytes} bytes")
            return
        self.in_body = True
        if "transfer-encoding" not in headers and "upgrade" not in headers:
            self._partial.announced = int(announced)
        self.wants_continue = headers.get("expect", "").lower() == "100-continue"

    def on_body(self, part: bytes) -> None:
        """Keep a piece of the body, if it still fits."""
        self._partial.body_bytes += len(part)
        if self._partial.body_bytes > self._max_body_bytes:
            self._partial.body.clear()
            self._refuse(413, f"the body is longer than {self._max_body_bytes} bytes")
        elif not self.ended:
            self._partial.body.append(part)

    def on_message_complete(self) -> None:
        """Hand out the request."""
        if not self.ended:
            method, keep_alive = self._parser.get_method().decode("latin-1"), self._parser.should_keep_alive()
            self._hand_out(b"".join(self._partial.body), method, keep_alive=keep_alive)
        self.arriving = self.in_body = self.wants_continue = False

    def _hand_out(self, body: bytes | memoryview, method: str, *, keep_alive: bool) -> None:
        partial, self._partial = self._partial, _Partial()
        self.arriving = self.in_body = self.wants_continue = False
        self._found.append(
            Request(
                method=method, target=bytes(partial.target), headers=partial.headers, body=body, keep_alive=keep_alive
            )
        )


def plain_body(request: Request, *, max_bytes: int) -> bytes | memoryview | Refusal:
    """Return the body without its content encoding; expansion stops at `max_bytes`."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        return request.body
    if encoding not in {"gzip", "x-gzip"}:
        return Refusal(415, "bodies are taken as they are or with Content-Encoding: gzip")
    pieces: list[bytes] = []
    size = 0
    rest: bytes | memoryview = request.body
    while rest or not pieces:  # a gzip file may have several members, RFC 1952 section 2.2
        expander = zlib.decompressobj(wbits=31)
        try:
            piece = expander.decompress(rest, max_bytes - size + 1)
        except zlib.error:
            return Refusal(400, "the body is not gzip")
        size += len(piece)
        if size > max_bytes:
            return Refusal(413, f"the body expands to more than {max_bytes} bytes")
        if not expander.eof:
            return Refusal(400, "the gzip body is cut off")
        pieces.append(piece)
        rest = expander.unused_data
    return b"".join(pieces)
