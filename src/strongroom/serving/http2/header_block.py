"""A header block as it arrives: counted before it is kept, shared with the one before where both are equal. Pure."""

from __future__ import annotations

from typing import Final

from strongroom.serving.http2.base import Framing, Headers, SessionSettings
from strongroom.serving.http2.refusals import HEADER_BLOCK_FACTOR
from strongroom.serving.http2.streams import Stream

GRPC: Final = b"application/grpc"
FIELD_OVERHEAD: Final = 32  # RFC 9113 section 6.5.2


class HeaderBlock:
    """One connection has one: blocks never interleave (RFC 9113 section 4.3)."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._previous: Headers = ()
        self._fields: list[tuple[bytes, bytes]] = []
        self._stream: Stream | None = None
        self._bytes = self._count = 0
        self._method = self._path = ""
        self._is_grpc = self._has_authority = False
        self.continuations = 0
        self.content_length = 0

    def begin(self, stream: Stream) -> None:
        """Start anew, for a stream's headers or trailers."""
        self._stream = stream
        self._fields = []
        self._bytes = self._count = self.continuations = self.content_length = 0
        self._method = self._path = ""
        self._is_grpc = self._has_authority = False

    def add(self, name: bytes, value: bytes) -> bool:
        """Count a field, and keep it within the limits; return False where the whole connection goes too far."""
        stream = self._stream
        if stream is None:
            return True
        self._bytes += len(name) + len(value) + FIELD_OVERHEAD
        self._count += 1
        settings = self._settings
        if self._bytes > settings.max_header_list_bytes or self._count > settings.max_header_count:
            stream.too_large = True
            self._fields = []
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
        fields = tuple(self._fields)
        if fields == self._previous:
            fields = self._previous
        self._previous = stream.headers = fields
        stream.method, stream.path = self._method, self._path
        stream.is_head = stream.method == "HEAD"
        stream.streaming = self._is_grpc and not stream.too_large and stream.path in streaming_paths
        stream.framing = Framing.MESSAGE if self._is_grpc else Framing.HTTP
