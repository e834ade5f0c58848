"""Ask a gRPC server as fast as it answers: connections x streams, always the same request, over uvloop.

Every answer has to end its stream with grpc-status 0, and the first must hold what the caller expects; anything else
ends the run. This client's own cost does not count, so it is plain Python; it writes all that one read allows at once,
and keeps to the server's windows and frame size.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop

from serving import h2frames as h2

MAX_FRAME_BYTES = 1 << 20
OUR_WINDOW = 1 << 24
TIMEOUT_S = 300.0


class WrongAnswer(Exception):
    """The server did not answer as it should; the text says how."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to ask where, and how many at a time."""

    port: int
    context: ssl.SSLContext | None
    path: str
    message: bytes
    check: Callable[[bytes], None]
    connections: int
    streams: int


@dataclass
class Run:
    """One measured run: `left` requests are still to be sent, latencies of the answered ones in seconds."""

    left: int
    latencies_s: list[float] = field(default_factory=list)
    wall_s: float = 0.0


class Caller(asyncio.Protocol):
    """One connection with `target.streams` requests at a time; `ended` is set when nothing is left to ask."""

    def __init__(self, target: Target, run: Run) -> None:
        self._target, self._run = target, run
        secure = target.context is not None
        self._block = h2.literal_block(h2.grpc_headers(f"localhost:{target.port}", target.path, secure=secure))
        self._body = h2.grpc_body(target.message)
        self._answers, self._blocks = h2.Answers(), h2.Blocks()
        self._out: list[bytes] = []
        self._next, self._window, self._first_window, self._frame_bytes = 1, 65535, 65535, 16384
        self._open: dict[int, float] = {}
        self._unsent: deque[tuple[int, int]] = deque()  # stream, how much of its body was sent
        self._windows: dict[int, int] = {}  # of the streams in `_unsent`
        self._first: dict[int, bytearray] = {}
        self._checked = self._ready = False
        self._unacknowledged = 0
        self._trailers = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream's transport is one
        hello = h2.settings([(h2.ENABLE_PUSH, 0), (h2.INITIAL_WINDOW_SIZE, OUR_WINDOW)])
        self._transport.write(h2.PREFACE + hello + h2.window_update(0, OUR_WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server closed the connection ({exc})")

    def data_received(self, data: bytes) -> None:
        try:
            for kind, flags, stream, payload in self._answers.frames(data):
                self._frame(kind, flags, stream, payload)
        except WrongAnswer as problem:
            self._fail(str(problem))
            self._transport.abort()
            return
        self._flush()
        if not self._open and self._run.left == 0 and not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, text: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(WrongAnswer(text))

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == h2.DATA:
            self._data(flags, stream, payload)
        elif kind in (h2.HEADERS, h2.CONTINUATION):
            self._headers(kind, flags, stream, payload)
        elif kind == h2.WINDOW_UPDATE:
            self._more_window(stream, struct.unpack(">I", payload)[0])
        elif kind == h2.SETTINGS and not flags & h2.ACK:
            self._settings(payload)
        elif kind == h2.PING and not flags & h2.ACK:
            self._out.append(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif kind in (h2.RST_STREAM, h2.GOAWAY):
            raise WrongAnswer(f"frame {kind} on stream {stream}: {payload[:80]!r}")

    def _settings(self, payload: bytes) -> None:
        values = dict(struct.iter_unpack(">HI", payload))
        self._frame_bytes = min(values.get(h2.MAX_FRAME_SIZE, self._frame_bytes), MAX_FRAME_BYTES)
        change = values.get(h2.INITIAL_WINDOW_SIZE, self._first_window) - self._first_window
        self._first_window += change
        for stream in self._windows:
            self._windows[stream] += change
        self._out.append(h2.frame(h2.SETTINGS, h2.ACK, 0))
        if not self._ready:
            self._ready = True
            for _ in range(self._target.streams):
                self._ask()
        self._send_bodies()

    def _more_window(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
        elif stream in self._windows:
            self._windows[stream] += size
        self._send_bodies()

    def _ask(self) -> None:
        if self._run.left == 0:
            return
        self._run.left -= 1
        stream, self._next = self._next, self._next + 2
        self._open[stream] = time.perf_counter()
        self._out.append(h2.frame(h2.HEADERS, h2.END_HEADERS, stream, self._block))
        if not self._unsent and len(self._body) <= min(self._window, self._first_window, self._frame_bytes):
            self._window -= len(self._body)
            self._out.append(h2.frame(h2.DATA, h2.END_STREAM, stream, self._body))
            return
        self._windows[stream] = self._first_window
        self._unsent.append((stream, 0))
        self._send_bodies()

    def _send_bodies(self) -> None:
        """Send what the windows allow, the oldest stream first."""
        waiting: deque[tuple[int, int]] = deque()
        while self._unsent:
            stream, at = self._unsent.popleft()
            at = self._send_body(stream, at)
            if at < len(self._body):
                waiting.append((stream, at))
            else:
                del self._windows[stream]
        self._unsent = waiting

    def _send_body(self, stream: int, at: int) -> int:
        """Send a body from `at` on as far as its windows go; return how far that was."""
        while at < len(self._body):
            size = min(len(self._body) - at, self._window, self._windows[stream], self._frame_bytes)
            if size <= 0:
                break
            last = h2.END_STREAM if at + size == len(self._body) else 0
            self._out.append(h2.frame(h2.DATA, last, stream, self._body[at : at + size]))
            at, self._window = at + size, self._window - size
            self._windows[stream] -= size
        return at

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        self._unacknowledged += len(payload)
        if self._unacknowledged >= OUR_WINDOW // 4:
            self._out.append(h2.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        if not self._checked:
            self._first.setdefault(stream, bytearray()).extend(h2.unpadded(flags, payload))
        if flags & h2.END_STREAM:
            raise WrongAnswer("an answer without trailers")

    def _headers(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == h2.HEADERS:
            payload = h2.unpadded(flags, payload)
            payload = payload[5:] if flags & h2.PRIORITY else payload
            self._end = bool(flags & h2.END_STREAM)
        self._trailers += payload
        if not flags & h2.END_HEADERS:
            return
        headers, self._trailers = dict(self._blocks.decode(self._trailers)), b""
        if not self._end:
            if headers.get(b":status") != b"200":
                raise WrongAnswer(f"HTTP status {headers.get(b':status')!r}")
            return
        if headers.get(b"grpc-status") != b"0":
            raise WrongAnswer(f"gRPC status {headers.get(b'grpc-status')!r} {headers.get(b'grpc-message')!r}")
        if not self._checked:
            self._target.check(bytes(self._first[stream][5:]))
            self._checked, self._first = True, {}
        self._run.latencies_s.append(time.perf_counter() - self._open.pop(stream))
        self._ask()

    def _flush(self) -> None:
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def close(self) -> None:
        """Close the connection; what comes of it is of no interest any more."""
        self.ended.cancel()
        self._transport.close()


async def _run(target: Target, count: int) -> Run:
    loop, run = asyncio.get_running_loop(), Run(count)
    name = "localhost" if target.context else None
    started = time.perf_counter()
    made = [
        await loop.create_connection(
            lambda: Caller(target, run), "127.0.0.1", target.port, ssl=target.context, server_hostname=name
        )
        for _ in range(min(target.connections, count))
    ]
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(caller.ended for _, caller in made))
    finally:
        for _, caller in made:
            caller.close()
    run.wall_s = time.perf_counter() - started
    return run


def ask(target: Target, count: int) -> Run:
    """Ask `count` times. Raises WrongAnswer for the first answer that is not what it should be."""
    try:
        return uvloop.run(_run(target, count))
    except TimeoutError:
        raise WrongAnswer(f"no answer for {TIMEOUT_S:g} s") from None
    except OSError as problem:
        raise WrongAnswer(f"no connection: {problem}") from None
