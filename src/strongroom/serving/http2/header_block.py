"""A header block as it arrives: counted before it is kept, shared with the one before where both are equal. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.serving.http2.base import Framing, Headers, SessionSettings
from strongroom.serving.http2.refusals import HEADER_BLOCK_FACTOR
from strongroom.serving.http2.streams import Stream

GRPC: Final = b"application/grpc"
FIELD_OVERHEAD: Final = 32  # RFC 9113 section 6.5.2


class HeaderBlock:
    """One connection has one: blocks never interleave (RFC 9113 section 4.3).

    Calls of one client repeat their headers: as long as fields come as in the block before, they are only compared.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._previous: Headers = ()
        self._stream: Stream | None = None
        self._reset()

    def begin(self, stream: Stream) -> None:
        """Start anew, for a stream's headers or trailers."""
        self._stream = stream
        self.continuations = 0
        if self._known and stream.in_headers:
            self._same = 0
        else:
            self._reset()

    def _reset(self) -> None:
        self._same = -1  # how many fields came as in the block before; -1 once one did not
        self._known: list[tuple[bytes, bytes]] = []  # all fields of that block, which those below still tell of
        self._all: list[tuple[bytes, bytes]] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._bytes = self._count = self.continuations = self.content_length = 0
        self._method = self._path = ""
        self._is_grpc = self._has_authority = False

    def add(self, name: bytes, value: bytes) -> bool:
        """Count a field, and keep it within the limits; return False where the whole connection goes too far."""
        at = self._same
        if at >= 0:
            if at < len(self._known) and self._known[at] == (name, value):
                self._same = at + 1
                return True
            self._differ()
        return self._add(name, value)

    def _differ(self) -> None:
        """Take the fields that were as before, and all others, one by one."""
        taken, continuations = self._known[: self._same], self.continuations
        self._reset()
        self.continuations = continuations
        for name, value in taken:
            self._add(name, value)

    def _add(self, name: bytes, value: bytes) -> bool:
        stream = self._stream
        if stream is None:
            return True
        self._bytes += len(name) + len(value) + FIELD_OVERHEAD
        self._count += 1
        settings = self._settings
        if self._bytes > settings.max_header_list_bytes or self._count > settings.max_header_count:
            stream.too_large = True
            self._fields, self._all = [], []
            if self._bytes > settings.max_header_list_bytes * HEADER_BLOCK_FACTOR:
                return False
        if stream.in_headers and not stream.ignored:
            self._keep(name, value, whole=not stream.too_large)
        return True

    def _keep(self, name: bytes, value: bytes, *, whole: bool) -> None:
        if name == b"content-type":
            rest = value[len(GRPC) : len(GRPC) + 1]
            self._is_grpc = value.startswith(GRPC) and rest in {b"", b"+", b";"}
        if not whole:
            return
        self._all.append((name, value))
        if name.startswith(b":"):
            if name == b":method":
                self._method = value.decode("latin-1")
            elif name == b":path":
                self._path = value.decode("latin-1")
            elif name == b":authority":
                self._has_authority = True
                self._fields.append((b"host", value))
            return
        if name == b"host" and self._has_authority:
            return  # RFC 9113 section 8.3.1: :authority comes first
        if name == b"content-length" and value.isdigit():
            self.content_length = int(value[:19])
        self._fields.append((name, value))

    def give_to(self, stream: Stream, streaming_paths: frozenset[str]) -> None:
        """Complete a stream's headers."""
        if 0 <= self._same < len(self._known):
            self._differ()
        if self._same < 0:
            fields = tuple(self._fields)
            if fields != self._previous:
                self._previous = fields
            self._known = [] if stream.too_large or stream.ignored else self._all
        stream.headers = self._previous
        stream.method, stream.path = self._method, self._path
        stream.is_head = stream.method == "HEAD"
        stream.streaming = self._is_grpc and not stream.too_large and stream.path in streaming_paths
        stream.framing = Framing.MESSAGE if self._is_grpc else Framing.HTTP
