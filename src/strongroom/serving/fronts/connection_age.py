"""When an HTTP/2 connection has to end: silence, slow peers, age, drain. Deadlines in, session calls out.

The names are gRPC's channel arguments (`grpc.max_connection_age_ms` and so on), the defaults gRPC's where they are
finite. Source: gRPC proposals A8 and A9, spec `model-server.md` section 5, threats SV-12 and SV-17.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from strongroom.serving.fronts.connection import Connection
from strongroom.serving.http2 import Event, Session
from strongroom.serving.http2.base import ErrorCode

ROUND_TRIP_S: Final = 0.25  # between the two GOAWAYs: what was sent before the first was read has arrived by then
MIN_BYTES_PER_SECOND: Final = 1024  # a peer that takes its answers more slowly than this is cut off
_JITTER: Final = 0.1  # connections of one moment do not end in one moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """Bounds of a connection's life, in seconds."""

    max_age_s: float = inf
    age_grace_s: float = inf
    max_idle_s: float = 1800.0  # without a stream; a client opens a new connection with its next call
    keepalive_s: float = 7200.0
    keepalive_timeout_s: float = 20.0

    @classmethod
    def of(cls, arguments: Mapping[str, int | str]) -> Lifetime:
        """Read gRPC's channel arguments; what is not among them keeps its default."""
        defaults = cls()
        names = {
            "max_age_s": "grpc.max_connection_age_ms",
            "age_grace_s": "grpc.max_connection_age_grace_ms",
            "max_idle_s": "grpc.max_connection_idle_ms",
            "keepalive_s": "grpc.keepalive_time_ms",
            "keepalive_timeout_s": "grpc.keepalive_timeout_ms",
        }
        found = {}
        for name, argument in names.items():
            value = arguments.get(argument)
            found[name] = _seconds(value) if isinstance(value, int) else getattr(defaults, name)
        return cls(**found)


def _seconds(milliseconds: int) -> float:
    """Return an argument in seconds; gRPC's INT_MAX, and what is not positive, mean never."""
    return inf if milliseconds >= 2**31 - 1 or milliseconds <= 0 else milliseconds / 1000


class Ageing:
    """The clock of one connection; `sweep` is called every so often."""

    def __init__(self, connection: Connection, session: Session, lifetime: Lifetime) -> None:
        self._connection, self._session, self._lifetime = connection, session, lifetime
        self._patience = connection.front.patience
        jitter = 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311  # no secret hangs on it
        self._ends = connection.since + lifetime.max_age_s * jitter
        self._last_used = connection.since
        self._pinged: float | None = None
        self._said_last = False
        self._left: float | None = None  # when the first GOAWAY was said
        self._slow_since: float | None = None
        self._sent_then = self._unsent_then = 0
        self.sent_bytes = 0

    def leave(self) -> None:
        """Say the first GOAWAY; the second one follows."""
        if self._left is None:
            self._left = self._connection.loop.time()
            self._session.goaway(False)
            self._connection.loop.call_later(ROUND_TRIP_S, self._say_last)

    def sweep(self, now: float) -> Sequence[Event]:
        """Enforce what is due; return what the session says to it."""
        session, lifetime = self._session, self._lifetime
        if session.open_streams:
            self._last_used = now
        if now >= self._ends or now - self._last_used >= lifetime.max_idle_s:
            self.leave()
        if not session.greeted and now - self._connection.since >= self._patience.headers_s:
            self._connection.abort()  # it opened a connection and says nothing
        if self._left is not None and now - self._left >= lifetime.age_grace_s:
            session.terminate(ErrorCode.NO_ERROR)
        self._check_alive(now)
        self._check_reader(now)
        patience = self._patience
        allowed = patience.headers_s + patience.body_s + session.pending_body_bytes / patience.bytes_per_second
        return session.expire(now - allowed) if session.arriving else ()

    def _say_last(self) -> None:
        if not self._said_last and not self._connection.closing:
            self._said_last = True
            self._session.goaway(True)
            self._connection.resume_writing()

    def _check_alive(self, now: float) -> None:
        """Ask a silent peer for a sign of life; cut off one that gives none."""
        heard = self._connection.heard
        if self._pinged is not None and heard > self._pinged:
            self._pinged = None  # also where this sweep is so late that the peer is silent once more
        if now - heard < self._lifetime.keepalive_s:
            return
        if self._pinged is None:
            self._pinged = now
            self._session.ping()
        elif now - self._pinged >= self._lifetime.keepalive_timeout_s:
            self._connection.abort()

    def _check_reader(self, now: float) -> None:
        """Cut off a peer that asked for answers and does not take them."""
        unsent = self._session.unsent_bytes + self._connection.unsent_bytes
        if not unsent:
            self._slow_since = None
            return
        if self._slow_since is None:
            self._slow_since, self._sent_then, self._unsent_then = now, self._taken(), unsent
        elif now - self._slow_since >= self._patience.write_s:
            wanted = min(self._unsent_then, MIN_BYTES_PER_SECOND * self._patience.write_s)
            if self._taken() - self._sent_then < wanted:
                self._connection.abort()
            self._slow_since = None

    def _taken(self) -> int:
        """Bytes that the peer's side has taken from us."""
        return self.sent_bytes - self._connection.unsent_bytes
