"""One open streaming call on an HTTP/2 session: its frames to messages, its answers to frames, its end.

Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from strongroom.errors import StrongroomError
from strongroom.serving.fronts import grpc_wire
from strongroom.serving.fronts.streams import MAX_STREAM_MESSAGE_BYTES, Opener
from strongroom.serving.http2 import Session
from strongroom.serving.http2.grpc_frames import MessageReader
from strongroom.serving.status import Overloaded, status_of
from strongroom.tfserving.codes import Code

MAX_UNSENT_BYTES: Final = 8 * 1024 * 1024  # answers that a peer asked for and does not read
_log: Final = logging.getLogger(__name__)


class OpenCall:
    """A call between its first and its last message; it is the stream's Outlet."""

    def __init__(
        self,
        stream: int,
        session: Session,
        opener: Opener,
        *,
        encoding: bytes,
        deadline: float | None,
        flush: Callable[[], None],
        forget: Callable[[int], object],
    ) -> None:
        self._stream, self._session = stream, session
        self._encoding, self._deadline = encoding, deadline
        self._flush, self._forget = flush, forget
        self._reader = MessageReader(max_bytes=MAX_STREAM_MESSAGE_BYTES)
        self._over = False
        session.begin_stream(stream)
        self._call = opener(self)

    # What the connection calls.

    def receive(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._guarded(lambda: self._messages(chunk))

    def ended(self) -> None:
        """The peer sends nothing more."""
        if not self._reader.empty:
            self.finish(Code.INTERNAL, "Incomplete message frame")
        else:
            self._guarded(self._call.ended)

    def close(self) -> None:
        """The call is over; nothing is sent any more."""
        if not self._over:
            self._over = True
            self._forget(self._stream)
            self._call.closed()

    def sweep(self, now: float) -> None:
        """End a call whose deadline has passed."""
        if self._deadline is not None and now >= self._deadline:
            self.finish(Code.DEADLINE_EXCEEDED, grpc_wire.DEADLINE_PASSED)

    # What the call does.

    def send(self, message: bytes) -> None:
        """Send a message, unless the peer does not read those it has."""
        if self._over:
            return
        if self._session.unsent_bytes > MAX_UNSENT_BYTES:
            raise Overloaded("the caller does not read its answers")
        self._session.write(self._stream, message)
        self._flush()

    def finish(self, code: Code, text: str) -> None:
        """End the call by its status."""
        if not self._over:
            self._session.finish(self._stream, code, text)
            self._flush()
            self.close()

    def _messages(self, chunk: bytes) -> None:
        for compressed, data in self._reader.receive(chunk):
            if self._over:
                return
            self._call.message(
                grpc_wire.expanded(data, self._encoding, max_bytes=MAX_STREAM_MESSAGE_BYTES) if compressed else data
            )

    def _guarded(self, action: Callable[[], None]) -> None:
        """Act; whatever goes wrong ends this call alone."""
        try:
            action()
        except StrongroomError as problem:
            self.finish(*status_of(problem))
        except Exception:  # noqa: BLE001  # a defect of ours: the peer learns that much, the log the rest
            _log.exception("a streaming call failed in an unforeseen way")
            self.finish(Code.INTERNAL, "internal error")
