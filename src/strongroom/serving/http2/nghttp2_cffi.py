"""HTTP/2 sessions over libnghttp2 by cffi: nothing has to be compiled. `codec/` does the same, and faster.

libnghttp2 reads and writes frames, keeps windows and states and checks messages (RFC 9113 sections 4 to 8); this adds
limits, budgets, bodies and gRPC. It calls back for each header and frame: a session is found by its handle.
"""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.serving.http2 import nghttp2_library as n
from strongroom.serving.http2 import refusals
from strongroom.serving.http2.arriving import Arriving, trailers
from strongroom.serving.http2.base import (
    Buffer,
    ConnectionFailed,
    ErrorCode,
    Event,
)
from strongroom.serving.http2.grpc_frames import prefixed
from strongroom.serving.http2.streams import Stream


def _framed(message: Buffer) -> tuple[memoryview, memoryview]:
    view = memoryview(message).cast("B")
    return memoryview(prefixed(len(view))), view


def _check_error_code(code: int) -> None:
    if not 0 <= code < 1 << 32:
        raise OverflowError("an error code has 32 bits")


class CffiSession(Arriving):
    """See `base.Session`. Raises MemoryError where the library has none."""

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
            self._drain(limit=refusals.MAX_WAITING_BYTES, data_limit=0)
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

    # Bytes out.

    def send(self, limit: int, /) -> bytes:
        """Return what is to go out."""
        self._drain(limit=limit, data_limit=limit)
        whole = b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        return whole

    def _drain(self, *, limit: int, data_limit: int) -> None:
        """Take frames from the library until `limit` bytes wait; of bodies, until `data_limit` do."""
        self._data_limit = data_limit
        while self._out_bytes < limit:
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

    def on_read_answer(self, number: int, length: int) -> tuple[int, int]:
        """Say how many bytes of an answer go into the next DATA frame, and libnghttp2's flags."""
        stream = self._streams[number]
        size = min(length, stream.unsent)
        if size < stream.unsent or not stream.end_of_answer:
            return (size, n.FLAG_NO_COPY) if size else (n.DEFERRED, 0)
        flags = n.FLAG_NO_COPY | n.FLAG_EOF
        if stream.trailers is not None:
            flags |= n.FLAG_NO_END_STREAM
            self._native.submit_trailer(number, stream.trailers)
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

    def _push(self, stream: Stream, *pieces: memoryview) -> None:
        before = stream.unsent
        stream.push(*pieces)
        self.unsent_bytes += stream.unsent - before

    def respond(self, stream: int, status: int, headers: Sequence[tuple[bytes, bytes]], body: Buffer, /) -> None:
        """Answer with a status, headers and a body."""
        fields = self._native.fields(((b":status", b"%d" % status), *headers))
        view = memoryview(body).cast("B")
        found = self._answerable(stream)
        if found is None or found.begun:
            return
        found.answered = found.end_of_answer = True
        if not found.is_head:
            self._push(found, view)
        self._native.submit(stream, fields, has_body=found.unsent > 0)

    def grpc_reply(self, stream: int, message: Buffer, /) -> None:
        """Answer a unary call."""
        pieces = _framed(message)
        found = self._answerable(stream)
        if found is None or found.begun:
            return
        found.answered = found.end_of_answer = True
        found.trailers = trailers(0, "")
        self._push(found, *pieces)
        self._native.submit(stream, None, has_body=True)

    def grpc_fail(self, stream: int, code: int, text: str, /) -> None:
        """Answer a call by its status alone."""
        status = trailers(code, text)
        found = self._answerable(stream)
        if found is not None:
            self._end_by_status(found, status)

    def begin_stream(self, stream: int, /) -> None:
        """Start an answer of several messages."""
        found = self._answerable(stream)
        if found is not None and not found.begun:
            found.begun = True
            self._native.submit(stream, None, has_body=True)

    def write(self, stream: int, message: Buffer, /) -> None:
        """Append a message."""
        pieces = _framed(message)
        found = self._answerable(stream)
        if found is not None and found.begun:
            self._push(found, *pieces)
            self._native.resume(stream)

    def finish(self, stream: int, code: int, text: str, /) -> None:
        """End an answer of several messages."""
        status = trailers(code, text)
        found = self._answerable(stream)
        if found is not None and found.begun:
            self._end_by_status(found, status)

    def reset(self, stream: int, error_code: int, /) -> None:
        """End a stream without an answer."""
        _check_error_code(error_code)
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
        _check_error_code(error_code)
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
