"""The arriving half of a session over cffi: requests, limits, budgets, memory and windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from strongroom.serving.http2 import nghttp2_library as n
from strongroom.serving.http2 import refusals
from strongroom.serving.http2.base import (
    ALIGNMENT,
    Cancelled,
    ConnectionFailed,
    Data,
    Ended,
    ErrorCode,
    Event,
    Framing,
    GoneAway,
    Headers,
    Opened,
    Request,
    SessionSettings,
)
from strongroom.serving.http2.budgets import Budget
from strongroom.serving.http2.grpc_frames import PREFIX_BYTES, percent_encoded
from strongroom.serving.http2.header_block import GRPC, HeaderBlock
from strongroom.serving.http2.nghttp2_calls import Native
from strongroom.serving.http2.refusals import Refusal
from strongroom.serving.http2.streams import Stream

DEFAULT_WINDOW: Final = 65535  # RFC 9113 section 6.9.2
_FAILURE: Final[Headers] = (
    (b":status", b"200"),
    (b"content-type", GRPC),
    (b"grpc-accept-encoding", refusals.ACCEPT_ENCODING),
)


class Arriving(ABC):
    """What libnghttp2 tells while it reads, and what that does to a connection. Raises MemoryError."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._streams: dict[int, Stream] = {}
        self._events: list[Event] = []
        self._block = HeaderBlock(settings)
        self._resets = Budget(settings.reset_burst, settings.resets_per_s)
        self._controls = Budget(settings.control_burst, settings.controls_per_s)
        self._out: list[bytes | memoryview] = []
        self._out_bytes = self._data_limit = 0
        self._now = 0.0
        self._over = False
        self._align = 0
        self.greeted = False
        self.arriving = self.pending_body_bytes = self.unsent_bytes = 0
        self._handed_bytes = self._unconsumed = 0
        held = max(DEFAULT_WINDOW, settings.max_connection_body_bytes)
        self._window = max(DEFAULT_WINDOW, min(settings.connection_window, held))
        self._native = Native(self, settings, window=self._window)

    @property
    def align(self) -> int:
        """The place in a message that is to lie well, modulo ALIGNMENT."""
        return self._align

    @align.setter
    def align(self, place: int) -> None:
        if not isinstance(place, int):
            raise TypeError("align is an int")
        self._align = place % ALIGNMENT

    def _fail(self, code: int, reason: str) -> None:
        if not self._over:
            self._over = True
            self._native.terminate(code)
            self._events.append(ConnectionFailed(int(code), reason))

    @abstractmethod
    def on_read_answer(self, number: int, length: int) -> tuple[int, int]:
        """Say how many bytes of an answer go into the next DATA frame, and libnghttp2's flags."""

    @abstractmethod
    def on_send_data(self, number: int, frame_header: bytes, length: int) -> bool:
        """Append a DATA frame to what goes out; return False where that is full."""

    def on_answer_too_large(self, number: int) -> None:
        """End a stream whose answer's header block libnghttp2 does not send; its peer would hear nothing."""
        self._native.submit_reset(number, ErrorCode.INTERNAL_ERROR)

    def on_library_failure(self) -> None:
        """Give up: the library has no memory, or we have a defect."""
        self._over = True

    # What libnghttp2 calls while it reads.

    def on_begin_frame(self, kind: int, flags: int, number: int, length: int) -> None:
        """Charge a frame that is not the body of a request."""
        if self._over:
            return
        if kind == n.DATA:
            if length >= refusals.SMALL_DATA_BYTES or flags & n.END_STREAM:
                return
        elif kind == n.CONTINUATION:
            self._block.continuations += 1
            if self._block.continuations > refusals.MAX_CONTINUATIONS:
                self._fail(ErrorCode.ENHANCE_YOUR_CALM, refusals.CONTINUATIONS)
                return
        elif kind == n.PRIORITY and number == 0:  # libnghttp2 skips it where priorities are off
            self._fail(ErrorCode.PROTOCOL_ERROR, refusals.PRIORITY)
            return
        if not self._controls.spend():
            self._fail(ErrorCode.ENHANCE_YOUR_CALM, refusals.CONTROLS)

    def on_begin_headers(self, number: int) -> None:
        """Begin a request, or the trailers of one."""
        if self._over:
            return
        stream = self._streams.get(number)
        if stream is None:
            stream = self._streams[number] = Stream(number, self._now)
            self.arriving += 1
        self._block.begin(stream)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the block, within the limits."""
        if not self._over and not self._block.add(name, value):
            self._fail(ErrorCode.ENHANCE_YOUR_CALM, refusals.HEADER_BLOCK)

    def on_invalid_header(self, number: int) -> None:
        """End a stream whose headers are malformed, RFC 9113 section 8.1.1; libnghttp2 alone would skip the field."""
        stream = self._streams.get(number)
        if stream is not None and not stream.ignored and not self._over:
            self._drop(stream)
            self._native.submit_reset(number, ErrorCode.PROTOCOL_ERROR)

    def on_headers(self, number: int, *, end_stream: bool) -> None:
        """Take a whole header block."""
        stream = self._streams.get(number)
        if stream is None or self._over:
            return
        if stream.in_headers:
            self._block.give_to(stream, self._settings.streaming_paths)
            stream.in_headers = False
            if not stream.ignored:
                self._start(stream)
        elif stream.too_large and not stream.ignored:
            self._refuse(stream, refusals.TOO_MANY_HEADERS)
        if end_stream:
            self.on_end(number)

    def _start(self, stream: Stream) -> None:
        if stream.too_large:
            self._refuse(stream, refusals.TOO_MANY_HEADERS)
        elif stream.method == "CONNECT":
            self._refuse(stream, refusals.NO_TUNNELS)
        elif stream.streaming:
            stream.handed = True
            self._events.append(Opened(stream.number, stream.method, stream.path, stream.headers))
        elif self._block.content_length > self._settings.max_body_bytes + PREFIX_BYTES:
            self._refuse(stream, refusals.TOO_LARGE)

    def on_data(self, number: int, chunk: bytes, *, end_stream: bool) -> None:
        """Take a piece of a body."""
        size = len(chunk)
        self._controls.earn(size * refusals.EARNED_PER_BYTE)
        stream = self._streams.get(number)
        if stream is None or stream.ignored or self._over:
            self._native.consume_connection(size)
            return
        if not end_stream:
            self._native.consume_stream(number, size)
        if stream.streaming:
            self._native.consume_connection(size)
            stream.declared += size
            if stream.declared > self._settings.max_body_bytes:
                self._refuse(stream, refusals.TOO_LARGE)
            else:
                self._events.append(Data(number, chunk))
            return
        before = stream.body_bytes
        fits = stream.take(chunk, limit=self._settings.max_body_bytes, align=self._align)
        self.pending_body_bytes += stream.body_bytes - before
        self._unconsumed += size
        if not fits:
            self._refuse(stream, refusals.TOO_LARGE)
        elif stream.framing is Framing.BROKEN:
            self._release(stream)

    def on_end(self, number: int) -> None:
        """Hand out a request whose last byte is here."""
        stream = self._streams.get(number)
        if stream is None or stream.remote_ended or self._over:
            return
        stream.remote_ended = True
        self.arriving -= 1
        if stream.ignored:
            return
        self._controls.earn(refusals.REQUEST_EARNS)
        if stream.streaming:
            self._events.append(Ended(number))
            return
        body, framing = stream.body()
        if framing is Framing.BROKEN:
            self._release(stream)
        stream.handed = True
        self._handed_bytes += stream.body_bytes
        self._events.append(Request(number, stream.method, stream.path, stream.headers, body, int(framing)))

    def on_goaway(self, code: int, reason: bytes) -> None:
        """Tell that the peer goes."""
        if not self._over:
            self._events.append(GoneAway(code, reason))

    def on_stream_close(self, number: int, code: int) -> None:
        """Forget a stream; one that ended badly costs."""
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        if not stream.remote_ended:
            self.arriving -= 1
        self._release(stream)
        self.unsent_bytes -= stream.unsent
        stream.drop_answer()
        if self._over:
            return
        if stream.handed and not stream.answered:
            self._events.append(Cancelled(number, code))
        if code != ErrorCode.NO_ERROR and not (stream.answered and stream.ignored) and not self._resets.spend():
            self._fail(ErrorCode.ENHANCE_YOUR_CALM, refusals.RESETS)

    # Memory and windows.

    def _release(self, stream: Stream) -> None:
        """Stop holding a stream's body."""
        if stream.body_bytes:
            self.pending_body_bytes -= stream.body_bytes
            if stream.handed and not stream.streaming:
                self._handed_bytes -= stream.body_bytes
            stream.body_bytes = 0
            stream.drop_body()

    def _drop(self, stream: Stream) -> None:
        stream.ignored = True
        self._release(stream)

    def _refuse(self, stream: Stream, refusal: Refusal) -> None:
        """Answer without the application, and take no more of the body (RFC 9113 section 8.1)."""
        if stream.handed and not stream.answered:
            self._events.append(Cancelled(stream.number, ErrorCode.NO_ERROR))
        self._drop(stream)
        if stream.answered:
            return
        if stream.is_grpc:
            self._end_by_status(stream, trailers(refusal.grpc_code, refusal.text))
        else:
            stream.answered = True
            status = ((b":status", b"%d" % refusal.status), (b"content-length", b"0"))
            self._native.submit(stream.number, self._native.fields(status), has_body=False)

    def _end_by_status(self, stream: Stream, status: Headers) -> None:
        """End a call: in trailers where an answer was begun, else as the whole answer."""
        stream.answered = True
        if stream.begun:
            stream.end_of_answer = True
            stream.trailers = status
            self._native.resume(stream.number)
        else:
            self._native.submit(stream.number, self._native.fields(_FAILURE + status), has_body=False)

    def _balance(self) -> None:
        """Open the connection's window as far as what is held plus what may come stays within the limit.

        Where the peer stands still for that, and no answer of the application will free anything, the largest
        arriving body is refused.
        """
        while self._unconsumed * 4 >= self._window and not self._over:
            coming = self._window - self._unconsumed
            room = self._settings.max_connection_body_bytes - self.pending_body_bytes - coming
            give = min(self._unconsumed, max(room, 0))
            if give:
                self._native.consume_connection(give)
                self._unconsumed -= give
            if self._handed_bytes or not self._native.peer_is_stopped():
                return
            waiting = [s for s in self._streams.values() if s.body_bytes]
            if not waiting:
                return
            self._refuse(max(waiting, key=lambda s: (s.body_bytes, -s.number)), refusals.TOO_MUCH_HELD)


def trailers(code: int, text: str) -> Headers:
    """Return what ends a gRPC answer."""
    status = ((b"grpc-status", b"%d" % code),)
    return (*status, (b"grpc-message", percent_encoded(text))) if text else status
