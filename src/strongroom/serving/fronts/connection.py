"""One peer's connection: the transport, what is spoken on it, and who may keep it waiting. No protocol is known here.

Bytes arrive in one buffer that all connections of a front share, since a read is handed on before the next begins;
that, and handing TLS one write a round, is where a third of a large request's cost went.
Source: spec `serving-performance.md` section 3, threats SV-12, SV-17.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from strongroom.errors import StrongroomError
from strongroom.serving.status import ClientNotAuthenticated

if TYPE_CHECKING:
    from strongroom.serving.fronts.front import Front

WRITE_BUFFER_BYTES: Final = 1024 * 1024  # what a transport holds before it says "wait"


class Speaker(Protocol):
    """A protocol on a connection. Everything belongs to the event loop."""

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, so that closing hurts nobody."""
        ...

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies that it holds."""
        ...

    @property
    def untaken_bytes(self) -> int:
        """Bytes of answers that the peer has not taken."""
        ...

    def shed(self) -> None:
        """Refuse what is arriving: the server is short of memory."""

    @property
    def place(self) -> memoryview | None:
        """Where the next bytes are to be read to, as many as it holds at most; None where that does not matter."""
        ...

    def receive(self, data: memoryview) -> None:
        """Take what arrived; the memory, unless it is the place, is somebody else's as soon as this returns."""

    def resume(self) -> None:
        """The transport takes bytes again."""

    def eof(self) -> bool:
        """The peer sends nothing more; return whether to keep the connection for answers."""
        ...

    def lost(self) -> None:
        """The connection is gone: give up what is under way."""

    def drain(self) -> None:
        """Take nothing new, finish what is under way, then close."""

    def sweep(self, now: float) -> None:
        """Enforce what is due by now, a `loop.time()`."""


class Gone:
    """What is spoken on a connection that was lost: nothing. It takes the place of what held requests and answers."""

    idle, held_bytes, untaken_bytes, place = True, 0, 0, None

    def receive(self, data: memoryview) -> None:
        """Nobody sends."""

    def shed(self) -> None:
        """Nothing is arriving."""

    def resume(self) -> None:
        """Nothing is written."""

    def eof(self) -> bool:
        """Nothing is kept."""
        return False

    def lost(self) -> None:
        """It was given up."""

    def drain(self) -> None:
        """Nothing is under way."""

    def sweep(self, now: float) -> None:
        """Nothing is due."""


GONE: Final = Gone()


class Connection(asyncio.BufferedProtocol):
    """What asyncio calls, and what a speaker may do with its connection."""

    def __init__(self, front: Front, speak: Callable[[Connection], Speaker]) -> None:
        self.front = front
        self.loop = front.loop
        self.since = self.heard = front.loop.time()
        self.writable = True  # the transport has room
        self.problem: StrongroomError | None = None  # why this peer is not served
        self.closed: asyncio.Future[None] = front.loop.create_future()
        self._speak = speak
        self._speaker: Speaker = None  # type: ignore[assignment]  # set when the connection is made
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set when the connection is made
        self._memory = front.memory
        self._lent = front.memory.buffer  # what is being read into
        self._held = False
        self._close_by: float | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check the peer, once; choose what is spoken."""
        self._transport = transport  # type: ignore[assignment]  # TCP, unix and TLS transports are Transports
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.since = self.heard = self.loop.time()
        tls, accepts = self.tls, self.front.accepts
        if tls is not None and accepts is not None and not accepts(tls.getpeercert(binary_form=True) or b""):
            self.problem = ClientNotAuthenticated(
                "the client's certificate does not have the extended key usage clientAuth"
            )
        self._speaker = self._speak(self)
        self.front.joined(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer, or as much of what the speaker has for its next bytes."""
        del sizehint
        place, self._lent = self._speaker.place, self._memory.buffer
        if place is not None and self._close_by is None:
            self._lent = place[: len(self._lent)]
        return self._lent

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what arrived."""
        self.heard = self.loop.time()
        if self._close_by is None:
            self._speaker.receive(self._lent[:nbytes])

    def eof_received(self) -> bool:
        """Let a peer that only stopped sending have its answer (TLS always closes both ways)."""
        return self._speaker.eof() and self.tls is None

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        self.writable = False

    def resume_writing(self) -> None:
        """It reads again."""
        self.writable = True
        self._speaker.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the peer."""
        del exc
        if not self.closed.done():
            self.closed.set_result(None)
            self.front.left(self)
            speaker, self._speaker = self._speaker, GONE
            speaker.lost()  # now nothing but its own calls refers to it: its memory need not wait for a collection

    # What a speaker does.

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS session, or None in clear text."""
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        return found

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the transport holds for a peer that does not take them."""
        return self._transport.get_write_buffer_size()

    @property
    def closing(self) -> bool:
        """Whether it ends, or has ended."""
        return self._close_by is not None or self._transport.is_closing()

    def speak(self, speaker: Speaker) -> None:
        """Go on in another protocol."""
        self._speaker = speaker

    def write(self, data: bytes) -> None:
        """Send bytes, or keep them until the peer takes them."""
        self._transport.write(data)

    def hold(self) -> None:
        """Read nothing more for now."""
        if not self._held and not self.closing:
            self._held = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Read again."""
        if self._held:
            self._held = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def close(self) -> None:
        """Close when what was written is gone, or when a peer that does not read has had its time."""
        if self._close_by is None:
            patience = self.front.patience
            self._close_by = self.loop.time() + patience.write_s + self.unsent_bytes / patience.bytes_per_second
            self._transport.close()

    def abort(self) -> None:
        """Close without ceremony."""
        self._close_by = self.loop.time()
        self._transport.abort()

    # What the front does.

    @property
    def idle(self) -> bool:
        """Whether closing would hurt nobody."""
        return self._speaker.idle

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies held for this connection."""
        return self._speaker.held_bytes

    @property
    def untaken_bytes(self) -> int:
        """Bytes of answers that the peer has not taken."""
        return self._speaker.untaken_bytes

    def shed(self) -> None:
        """Refuse what is arriving."""
        if not self.closing:
            self._speaker.shed()

    def drain(self) -> None:
        """Finish what is under way, then close."""
        if not self.closing:
            self._speaker.drain()

    def sweep(self, now: float) -> None:
        """Enforce what is due."""
        if self._close_by is None:
            self._speaker.sweep(now)
        elif now >= self._close_by:
            self.abort()
