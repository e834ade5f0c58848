"""What a server-side HTTP/2 connection is to its front: events, calls and limits.

Events are named tuples, since they are made for every request; tell them apart by `type(event) is Request`.
Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK), gRPC's "PROTOCOL-HTTP2.md", spec `serving-performance.md` section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # what a client sends first, RFC 9113 section 3.4

Buffer: TypeAlias = bytes | bytearray | memoryview  # contiguous; not changed while it is held
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]  # lower-case names; pseudo-headers are not among them


class ErrorCode(IntEnum):
    """Why a stream or a connection ends, RFC 9113 section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Framing(IntEnum):
    """What `Request.body` holds; gRPC is known by the content type `application/grpc`, `…+…` or `…;…`."""

    HTTP = 0  # not gRPC: the body as it was sent
    MESSAGE = 1  # the one gRPC message, without its five-byte prefix
    COMPRESSED = 2  # the same, compressed as the header grpc-encoding says
    BROKEN = 3  # gRPC, but not exactly one whole message: the body is empty


class Request(NamedTuple):
    """A whole request: END_STREAM came. Answer it by one of `respond`, `grpc_reply`, `grpc_fail`, `reset`.

    The body is a read-only memoryview (of bytes, contiguous) where it was placed for `Session.align`, else bytes.

    A connection that repeats its headers gets the very same `headers` object again (`is`): what a front derives from
    them can be kept beside them. `method` and `path` (with its query) are Latin-1 text.
    """

    stream: int
    method: str
    path: str
    headers: Headers
    body: bytes | memoryview
    framing: int  # a value of Framing


class Opened(NamedTuple):
    """The headers of a request for one of `streaming_paths`; Data and Ended follow."""

    stream: int
    method: str
    path: str
    headers: Headers


class Data(NamedTuple):
    """A piece of the body of an opened stream, as it came (gRPC prefixes are inside; see `grpc_frames`)."""

    stream: int
    chunk: bytes


class Ended(NamedTuple):
    """The peer has sent all of an opened stream's body."""

    stream: int


class Cancelled(NamedTuple):
    """A stream that was handed out and is not answered yet is gone; answers to it are dropped in silence."""

    stream: int
    error_code: int


class GoneAway(NamedTuple):
    """The peer said GOAWAY: it opens no more streams; running ones may finish."""

    error_code: int
    reason: bytes


class ConnectionFailed(NamedTuple):
    """The connection is over: send what `send` still gives, then close; every stream of it is gone (no Cancelled)."""

    error_code: int
    reason: str


ALIGNMENT: Final = 16  # bytes; what the memory of a large bytes object begins at a multiple of
ALIGNED_FROM_BYTES: Final = 64 * 1024  # messages below it are bytes always: a copy of their tensors costs little

Event: TypeAlias = Request | Opened | Data | Ended | Cancelled | GoneAway | ConnectionFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Limits of one connection, all checked before memory is spent. Budgets are token buckets: a burst, refilled."""

    max_concurrent_streams: int = 256
    max_header_list_bytes: int = 64 * 1024  # as RFC 9113 section 6.5.2 counts: 32 bytes more for each field
    max_header_count: int = 128
    max_body_bytes: int = 64 * 1024 * 1024  # of one request; beyond: RESOURCE_EXHAUSTED, or 413
    max_connection_body_bytes: int = 256 * 1024 * 1024  # held at once: arriving bodies and unanswered requests
    initial_window: int = 4 * 1024 * 1024  # bytes a stream may send ahead; more is granted at the half
    connection_window: int = 8 * 1024 * 1024  # bytes all streams may send ahead; more is granted at a quarter
    max_frame_size: int = 64 * 1024
    reset_burst: int = 1000  # streams ended by the peer's resets or malformed requests (CVE-2023-44487, CVE-2025-8671)
    resets_per_s: float = 33.0
    control_burst: int = 2000  # PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty frames (CVE-2019-9512 to -9518)
    controls_per_s: float = 200.0  # besides, a whole request earns 8, a KiB of bodies 1
    streaming_paths: frozenset[str] = frozenset()  # given as Opened, Data, Ended


class Session(Protocol):
    """One server-side connection. No method raises for what a peer sent; unknown or closed streams are ignored.

    Bytes to send arise from every call: ask `send` after each round. Not for use by two threads at once.
    """

    align: int
    """The place in a gRPC message that is to lie at a multiple of ALIGNMENT in memory: where its tensor begins.

    It holds for uncompressed messages of ALIGNED_FROM_BYTES and more whose bodies begin after it is set. Any number
    may be given, and is kept modulo ALIGNMENT; at first it is 0. Content, limits and counters do not depend on it.
    """

    def receive(self, data: Buffer, now: float, /) -> list[Event]:
        """Take what a socket read, at the monotonic time `now` in seconds; return what happened."""
        ...

    def send(self, limit: int, /) -> bytes:
        """Return what is to go out, about `limit` bytes at most; empty where nothing is or the peer stops it."""
        ...

    def respond(self, stream: int, status: int, headers: Sequence[tuple[bytes, bytes]], body: Buffer, /) -> None:
        """Answer; the body is held until sent, and dropped for HEAD. Names are lower case, none connection-specific."""
        ...

    def grpc_reply(self, stream: int, message: Buffer, /) -> None:
        """Answer a unary gRPC call: 200, one message, grpc-status 0."""
        ...

    def grpc_fail(self, stream: int, code: int, text: str, /) -> None:
        """Answer a gRPC call by trailers alone, or end a begun one; the text is percent-encoded."""
        ...

    def begin_stream(self, stream: int, /) -> None:
        """Start a gRPC answer of several messages."""
        ...

    def write(self, stream: int, message: Buffer, /) -> None:
        """Append a message to a begun answer."""
        ...

    def finish(self, stream: int, code: int, text: str, /) -> None:
        """End a begun answer by its trailers."""
        ...

    def reset(self, stream: int, error_code: int, /) -> None:
        """End a stream without an answer."""
        ...

    def expire(self, before: float, /) -> list[Event]:
        """End requests that began before this time and have not wholly arrived (408, DEADLINE_EXCEEDED).

        Opened streams are not touched. An unfinished header block ends the connection.
        """
        ...

    def shed(self) -> list[Event]:
        """Refuse the requests that have not wholly arrived, so that their memory is free (503, RESOURCE_EXHAUSTED).

        Opened streams, and requests whose headers are not here yet, are not touched.
        """
        ...

    def ping(self) -> None:
        """Ask the peer for a sign of life; any bytes it sends are one."""
        ...

    def goaway(self, last: bool, /) -> None:
        """Drain: first without `last` (RFC 9113 section 6.8), a round trip later with it; then wait for `ended`."""
        ...

    def terminate(self, error_code: int, /) -> None:
        """End the connection at once with a GOAWAY."""
        ...

    @property
    def ended(self) -> bool:
        """Nothing more will be read, and all is sent: close the transport."""
        ...

    @property
    def greeted(self) -> bool:
        """Whether the peer's preface and SETTINGS have come."""
        ...

    @property
    def wants_write(self) -> bool:
        """Whether `send` may have something."""
        ...

    @property
    def open_streams(self) -> int:
        """Streams that are not closed."""
        ...

    @property
    def arriving(self) -> int:
        """Requests that have begun and not wholly arrived."""
        ...

    @property
    def pending_body_bytes(self) -> int:
        """Bytes of bodies held: arriving, or handed out and not answered."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers held until the peer takes them; if these do not move, the peer is a slow reader."""
        ...
