"""HTTP/2 sessions over libnghttp2 by cffi: nothing has to be compiled. `_codec.c` does the same, and faster.

libnghttp2 reads and writes frames, keeps windows and states and checks messages (RFC 9113 sections 4 to 8); this adds
limits, budgets, bodies and gRPC. It calls back for each header and frame: a session is found by its handle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.serving.http2 import nghttp2_library as n
from strongroom.serving.http2 import refusals
from strongroom.serving.http2.base import (
    Buffer,
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
from strongroom.serving.http2.grpc_frames import PREFIX_BYTES, percent_encoded, prefixed
from strongroom.serving.http2.header_block import GRPC, HeaderBlock
from strongroom.serving.http2.nghttp2_calls import Native
from strongroom.serving.http2.refusals import Refusal
from strongroom.serving.http2.streams import Stream

DEFAULT_WINDOW: Final = 65535  # RFC 9113 section 6.9.2


class CffiSession:
    """See `base.Session`. Raises Http2Unavailable's cause, MemoryError, where the library has no memory."""

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
        self._over = self._draining = False
        self.greeted = False
        self.arriving = self.pending_body_bytes = self.unsent_bytes = 0
        self._handed_bytes = self._unconsumed = 0
        held = max(DEFAULT_WINDOW, settings.max_connection_body_bytes)
        self._window = max(DEFAULT_WINDOW, min(settings.connection_window, held))
        self._native = Native(self, settings, window=self._window)

    # Bytes in.

    def receive(self, data: Buffer, now: float, /) -> list[Event]:
        """Take what was read; return what happened."""
        if not self._over:
            self._now = now
            self._resets.refill(now)
            self._controls.refill(now)
            taken = self._native.receive(data)
            if taken < 0:
                self._library_failed(taken)
            self._balance()
            self._drain(limit=None)
        events, self._events = self._events, []
        return events

    def _library_failed(self, problem: int) -> None:
        if problem == n.BAD_PREFACE:
            self._fail(ErrorCode.PROTOCOL_ERROR, refusals.NO_PREFACE)
        elif problem == n.FLOODED:
            self._fail(ErrorCode.ENHANCE_YOUR_CALM, refusals.ACKS)
        elif problem == n.TOO_MANY_CONTINUATIONS:
            self._fail(ErrorCode.ENHANCE_YOUR_CALM, refusals.CONTINUATIONS)
        else:
            self._fail(ErrorCode.INTERNAL_ERROR, refusals.LIBRARY)

    def _fail(self, code: int, reason: str) -> None:
        if not self._over:
            self._over = True
            self._native.terminate(code)
            self._events.append(ConnectionFailed(int(code), reason))

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
            stream.in_headers = False
            self._block.give_to(stream, self._settings.streaming_paths)
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
        fits = stream.take(chunk, limit=self._settings.max_body_bytes)
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
        stream.answered = True
        if stream.is_grpc:
            self._native.submit(stream.number, _failure(refusal.grpc_code, refusal.text), has_body=False)
        else:
            status = ((b":status", b"%d" % refusal.status), (b"content-length", b"0"))
            self._native.submit(stream.number, status, has_body=False)

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

    # Bytes out.

    def send(self, limit: int, /) -> bytes:
        """Return what is to go out."""
        self._drain(limit=limit)
        whole = b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        return whole

    def _drain(self, *, limit: int | None) -> None:
        """Take frames from the library: up to `limit` bytes, or all that are not bodies."""
        self._data_limit = limit or 0
        while limit is None or self._out_bytes < limit:
            frame = self._native.next_frame()
            if not frame:
                break
            if frame[3] == n.GOAWAY and not self._over and (code := int.from_bytes(frame[13:17], "big")):
                self._over = True
                self._events.append(ConnectionFailed(code, frame[17:].decode("latin-1")))
            if frame[3] == n.HEADERS and frame[4] & n.END_STREAM:
                self._on_answered(int.from_bytes(frame[5:9], "big"))
            self._out.append(frame)
            self._out_bytes += len(frame)

    def _on_answered(self, number: int) -> None:
        """Ask a peer that sends on after its answer to stop, RFC 9113 section 8.1."""
        stream = self._streams.get(number)
        if stream is not None and not stream.remote_ended:
            self._native.submit_reset(number, ErrorCode.NO_ERROR)

    def on_library_failure(self) -> None:
        """Give up: the library has no memory, or we have a defect."""
        self._over = True

    def on_read_answer(self, number: int, length: int) -> tuple[int, int]:
        """Say how many bytes of an answer go into the next DATA frame, and libnghttp2's flags."""
        stream = self._streams[number]
        size = min(length, stream.unsent)
        if size < stream.unsent or not stream.end_of_answer:
            return (size, n.FLAG_NO_COPY) if size else (n.DEFERRED, 0)
        flags = n.FLAG_NO_COPY | n.FLAG_EOF
        if stream.trailers is not None:
            flags |= n.FLAG_NO_END_STREAM
            self._native.submit_trailer(number, _trailers(*stream.trailers))
        return size, flags

    def on_send_data(self, number: int, frame_header: bytes, length: int) -> bool:
        """Append a DATA frame to what goes out; return False where that is full."""
        if self._out_bytes >= self._data_limit:
            return False
        self._out.append(frame_header)
        self._out.extend(self._streams[number].pull(length))
        self._out_bytes += len(frame_header) + length
        self.unsent_bytes -= length
        self._controls.earn(length * refusals.EARNED_PER_BYTE)
        if frame_header[4] & n.END_STREAM:
            self._on_answered(number)
        return True

    # Answers.

    def _answerable(self, number: int) -> Stream | None:
        """Return a handed-out stream that waits for its answer; its body is not held any more after this."""
        stream = self._streams.get(number)
        if stream is None or self._over or stream.answered or not stream.handed:
            return None
        self._release(stream)
        self._balance()
        return stream

    def _push(self, stream: Stream, *pieces: Buffer) -> None:
        before = stream.unsent
        for piece in pieces:
            stream.push(piece)
        self.unsent_bytes += stream.unsent - before

    def respond(self, stream: int, status: int, headers: Sequence[tuple[bytes, bytes]], body: Buffer, /) -> None:
        """Answer with a status, headers and a body."""
        found = self._answerable(stream)
        if found is None or found.begun:
            return
        found.answered = found.end_of_answer = True
        if not found.is_head:
            self._push(found, body)
        self._native.submit(stream, ((b":status", b"%d" % status), *headers), has_body=found.unsent > 0)

    def grpc_reply(self, stream: int, message: Buffer, /) -> None:
        """Answer a unary call."""
        found = self._answerable(stream)
        if found is None or found.begun:
            return
        found.answered = found.end_of_answer = True
        found.trailers = (0, "")
        self._push(found, prefixed(memoryview(message).nbytes), message)
        self._native.submit(stream, None, has_body=True)

    def grpc_fail(self, stream: int, code: int, text: str, /) -> None:
        """Answer a call by its status alone."""
        found = self._answerable(stream)
        if found is None:
            return
        if found.begun:
            self.finish(stream, code, text)
            return
        found.answered = True
        self._native.submit(stream, _failure(code, text), has_body=False)

    def begin_stream(self, stream: int, /) -> None:
        """Start an answer of several messages."""
        found = self._answerable(stream)
        if found is not None and not found.begun:
            found.begun = True
            self._native.submit(stream, None, has_body=True)

    def write(self, stream: int, message: Buffer, /) -> None:
        """Append a message."""
        found = self._answerable(stream)
        if found is not None and found.begun:
            self._push(found, prefixed(memoryview(message).nbytes), message)
            self._native.resume(stream)

    def finish(self, stream: int, code: int, text: str, /) -> None:
        """End an answer of several messages."""
        found = self._answerable(stream)
        if found is not None and found.begun:
            found.answered = found.end_of_answer = True
            found.trailers = (code, text)
            self._native.resume(stream)

    def reset(self, stream: int, error_code: int, /) -> None:
        """End a stream without an answer."""
        found = self._streams.get(stream)
        if found is None or self._over or (found.ignored and found.answered):
            return
        found.answered = True
        self._drop(found)
        self._balance()
        self._native.submit_reset(stream, error_code)

    # The connection.

    def expire(self, before: float, /) -> list[Event]:
        """End requests that take too long to arrive."""
        for stream in list(self._streams.values()):
            if stream.remote_ended or stream.ignored or stream.streaming or stream.began >= before or self._over:
                continue
            if stream.in_headers:
                self._fail(ErrorCode.ENHANCE_YOUR_CALM, refusals.SLOW_HEADERS)
            else:
                self._refuse(stream, refusals.TOO_SLOW)
        self._balance()
        events, self._events = self._events, []
        return events

    def shed(self) -> list[Event]:
        """Refuse what is arriving."""
        for stream in list(self._streams.values()):
            if not (stream.remote_ended or stream.ignored or stream.streaming or stream.in_headers or self._over):
                self._refuse(stream, refusals.NO_MEMORY)
        self._balance()
        events, self._events = self._events, []
        return events

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._native.ping()

    def goaway(self, last: bool, /) -> None:
        """Take one of the two steps of a drain."""
        if not self._over:
            self._native.goaway(last=last)

    def terminate(self, error_code: int, /) -> None:
        """End the connection."""
        if not self._over:
            self._over = True
            self._native.terminate(error_code)

    @property
    def ended(self) -> bool:
        """Nothing to read, nothing to send."""
        return not self.wants_write and (self._over or not self._native.wants_read())

    @property
    def wants_write(self) -> bool:
        """Something to send."""
        return bool(self._out) or self._native.wants_write()

    @property
    def open_streams(self) -> int:
        """Streams that are not closed."""
        return len(self._streams)


def _failure(code: int, text: str) -> Headers:
    fixed = ((b":status", b"200"), (b"content-type", GRPC), (b"grpc-accept-encoding", refusals.ACCEPT_ENCODING))
    return fixed + _trailers(code, text)


def _trailers(code: int, text: str) -> Headers:
    status = ((b"grpc-status", b"%d" % code),)
    return (*status, (b"grpc-message", percent_encoded(text))) if text else status
