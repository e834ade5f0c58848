"""HTTP/2 for servers, sans I/O, over libnghttp2: bytes in, events out; calls in, bytes out.

Law of the room: no sockets, no clock, no event loop, no threads. `open_session` picks the best implementation there is:
the compiled one (`codec/`), or cffi's dlopen of the same library. Both behave alike, and one contract suite and a
differential fuzzer hold them to it.
"""

from strongroom.serving.http2.base import (
    ALIGNED_FROM_BYTES,
    ALIGNMENT,
    PREFACE,
    Cancelled,
    ConnectionFailed,
    Data,
    Ended,
    Event,
    Framing,
    GoneAway,
    Headers,
    Opened,
    Request,
    Session,
    SessionSettings,
)
from strongroom.serving.http2.choice import Http2Unavailable, available, implementations, open_session

__all__ = [
    "ALIGNED_FROM_BYTES",
    "ALIGNMENT",
    "PREFACE",
    "Cancelled",
    "ConnectionFailed",
    "Data",
    "Ended",
    "Event",
    "Framing",
    "GoneAway",
    "Headers",
    "Http2Unavailable",
    "Opened",
    "Request",
    "Session",
    "SessionSettings",
    "available",
    "implementations",
    "open_session",
]
