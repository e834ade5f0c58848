"""The fast front end: gRPC and REST over HTTP/2 and HTTP/1.1, TLS in process, on one event loop.

What a connection speaks is settled by ALPN; without it (clear text, old clients) by its first bytes, since every HTTP/2
connection begins with the same 24. Source: spec `serving-performance.md` section 2, RFC 9113 sections 3.2 to 3.4.
"""

from __future__ import annotations

from collections.abc import Callable

from strongroom.serving.fronts.connection import Connection, Speaker
from strongroom.serving.fronts.http2_front import Http2, Offer
from strongroom.serving.fronts.rest_front import Answerer, Http1
from strongroom.serving.http2 import PREFACE

HTTP2 = "h2"
HTTP1 = "http/1.1"


def speaking(offer: Offer, *, max_body_bytes: int) -> Callable[[Connection], Speaker]:
    """Return what chooses the protocol of a new connection; HTTP/1.1 is spoken where REST is offered."""

    def speak(connection: Connection) -> Speaker:
        tls = connection.tls
        chosen = None if tls is None else tls.selected_alpn_protocol()
        if chosen == HTTP2 or (chosen is None and offer.rest is None):
            return Http2(connection, offer)
        if chosen == HTTP1 and offer.rest is not None:
            return Http1(connection, offer.rest, max_body_bytes=max_body_bytes)
        return Undecided(connection, offer, offer.rest, max_body_bytes=max_body_bytes)

    return speak


class Undecided:
    """A connection whose first bytes have not come yet."""

    def __init__(self, connection: Connection, offer: Offer, rest: Answerer | None, *, max_body_bytes: int) -> None:
        self._connection, self._offer, self._rest = connection, offer, rest
        self._max_body_bytes = max_body_bytes
        self._begun = b""

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return True

    @property
    def held_bytes(self) -> int:
        """A few bytes of a greeting."""
        return 0

    @property
    def untaken_bytes(self) -> int:
        """Nothing was answered."""
        return 0

    def shed(self) -> None:
        """Nothing is arriving."""

    @property
    def place(self) -> None:
        """Anywhere."""

    def receive(self, data: memoryview) -> None:
        """Hand over as soon as the bytes can be but one protocol's."""
        self._begun += data
        if PREFACE.startswith(self._begun[: len(PREFACE)]) and len(self._begun) < len(PREFACE):
            return
        speaker: Speaker
        if self._begun.startswith(PREFACE) or self._rest is None:
            speaker = Http2(self._connection, self._offer)
        else:
            speaker = Http1(self._connection, self._rest, max_body_bytes=self._max_body_bytes)
        self._connection.speak(speaker)
        speaker.receive(memoryview(self._begun))

    def resume(self) -> None:
        """Nothing was written."""

    def eof(self) -> bool:
        """A peer that leaves before it spoke has nothing to wait for."""
        return False

    def lost(self) -> None:
        """Nothing is under way."""

    def drain(self) -> None:
        """Close: nothing was accepted."""
        self._connection.close()

    def sweep(self, now: float) -> None:
        """Cut off a peer that says nothing."""
        if now - self._connection.since >= self._connection.front.patience.headers_s:
            self._connection.abort()
