"""Listeners and their connections: accept, bound, watch the clock, drain. What is spoken on them is not known here.

One timer looks after every deadline of every connection, since a timer for each request would cost more than the
request. Bodies of all connections together have one limit. World: sockets, the log.
Source: spec `serving-performance.md` sections 2 and 3, threats SV-12, SV-17.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from strongroom.serving.fronts.connection import Connection, Speaker

READ_BYTES: Final = 256 * 1024
BACKLOG: Final = 1024
ACCEPTED_AT_ONCE: Final = 64
SCARCE_READ_BYTES: Final = 16 * 1024  # of a read while memory is short: each connection may still make one
STARVING_S: Final = 0.1  # how long nothing may move, while memory is short, before requests are refused
EVICT_AFTER_S: Final = 1.0  # a connection that has been idle for so long gives way when there are too many
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long peers may take, in seconds. Bodies and answers get a second more for every `bytes_per_second`."""

    handshake_s: float = 10.0
    headers_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 30.0
    idle_s: float = 75.0
    bytes_per_second: int = 64 * 1024

    @property
    def tick_s(self) -> float:
        """How often to look."""
        return min(1.0, min(self.headers_s, self.body_s, self.write_s, self.idle_s) / 4)


class Front:
    """Listeners that share a way to speak, a limit of connections and a limit of bytes held."""

    def __init__(
        self,
        speak: Callable[[Connection], Speaker],
        patience: Patience,
        *,
        accepts: Callable[[bytes], bool] | None = None,
        max_connections: int = 2048,
        max_held_bytes: int = 1024**3,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.patience, self.accepts = patience, accepts
        self.connections: set[Connection] = set()
        self.memory = Memory(self.loop, max_held_bytes)
        self._speak, self._max_connections = speak, max_connections
        self._welcoming: set[asyncio.Task[None]] = set()
        self._unproven: set[Connection] = set()  # admitted, and before or in their handshakes
        self._listeners: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        self._leaving = self._was_full = False
        self._paths: list[Path] = []
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None, *, shared: bool = False) -> int:
        """Listen on TCP; return the port. `shared` lets sibling processes have it too. Raises OSError."""
        family, kind, protocol, _, address = (
            await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            listener.bind(address)
        except OSError as problem:
            listener.close()
            raise _in_words(problem, f"{host}:{port}") from None
        self._open(listener, context)
        return int(listener.getsockname()[1])

    def listen_unix(self, path: str, context: ssl.SSLContext | None) -> None:
        """Listen on a unix socket; one that a dead server left behind is replaced. Raises OSError."""
        _remove_dead(Path(path))
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
        except OSError as problem:
            listener.close()
            raise _in_words(problem, path) from None
        self._paths.append(Path(path))
        self._open(listener, context)

    async def stop(self, grace_s: float) -> None:
        """Take no new connections; let what was accepted finish, for at most `grace_s` seconds; close (SV-17)."""
        self._close_listeners()
        for connection in tuple(self.connections):
            connection.drain()
        ends = self.loop.time() + grace_s
        while (self.connections or self._welcoming) and (left := ends - self.loop.time()) > 0:
            waiting = [*(connection.closed for connection in self.connections), *self._welcoming]
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for task in self._welcoming:
            task.cancel()
        for connection in tuple(self.connections):
            connection.abort()
        if last := [connection.closed for connection in self.connections]:
            await asyncio.wait(last, timeout=1.0)
        await asyncio.sleep(0.01)  # transports whose handshake was cut off close their sockets in the next rounds
        if self._timer is not None:
            self._timer.cancel()

    def joined(self, connection: Connection) -> None:
        """Count a connection whose handshake is done, and count it once: its task ends some rounds later."""
        self._unproven.discard(connection)
        self.connections.add(connection)
        if self._leaving:
            connection.drain()

    def left(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self.memory.forget(connection)

    def _open(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._listeners.append((listener, context))
        self._watch(listener, context)
        if self._timer is None:
            self._timer = self.loop.call_later(self.patience.tick_s, self._sweep)

    def _close_listeners(self) -> None:
        """Accept nothing more, but for what the kernel has accepted already: it would be reset otherwise."""
        self._leaving = True
        for listener, context in self._listeners:
            self.loop.remove_reader(listener)
            with suppress(OSError):  # BlockingIOError: the queue is empty
                for _ in range(BACKLOG):
                    self._admit(listener.accept()[0], context)
            listener.close()
        for path in self._paths:
            with suppress(OSError):
                path.unlink()
        self._listeners, self._paths = [], []

    def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        """Take what waits at a listener."""
        try:
            for _ in range(ACCEPTED_AT_ONCE):
                self._admit(listener.accept()[0], context)
        except BlockingIOError:
            return
        except OSError as problem:  # others are the peer's: it went away before it was accepted
            if problem.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                _log.warning("no room for another connection: %s", problem.strerror)
                self.loop.remove_reader(listener)
                self.loop.call_later(self.patience.tick_s, self._watch, listener, context)

    def _watch(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        if not self._leaving:
            self.loop.add_reader(listener, self._accept, listener, context)

    def _admit(self, peer: socket.socket, context: ssl.SSLContext | None) -> None:
        """Begin a connection, unless there are too many."""
        if len(self.connections) + len(self._unproven) >= self._max_connections and not self._make_room():
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(self, self._speak)
        self._unproven.add(connection)
        task = self.loop.create_task(self._welcome(peer, context, connection))
        self._welcoming.add(task)
        task.add_done_callback(self._welcoming.discard)
        task.add_done_callback(lambda _: self._unproven.discard(connection))
        task.add_done_callback(lambda done: peer.close() if done.cancelled() else None)

    async def _welcome(self, peer: socket.socket, context: ssl.SSLContext | None, connection: Connection) -> None:
        """Make a connection of an accepted socket; a failed handshake is the peer's affair."""
        patience: dict[str, Any] = {}
        if context is not None:
            patience = {"ssl_handshake_timeout": self.patience.handshake_s, "ssl_shutdown_timeout": 5.0}
        try:
            if peer.family != socket.AF_UNIX:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.connect_accepted_socket(lambda: connection, peer, ssl=context, **patience)
        except (OSError, TimeoutError):  # SSLError is an OSError
            peer.close()

    def _make_room(self) -> bool:
        """Close the connection that has been idle for longest, if one is; return whether there was one."""
        silent = self.loop.time() - EVICT_AFTER_S
        idle = [each for each in self.connections if each.heard < silent and not each.closing and each.idle]
        if not idle:
            return False
        min(idle, key=lambda each: each.heard).abort()
        return True

    def _relieve(self) -> None:
        """End the connection whose peer leaves most of its answers untaken: it keeps the memory that others need."""
        most = max(self.connections, key=lambda each: each.untaken_bytes, default=None)
        if most is not None and most.untaken_bytes > self.memory.held_bytes // 16:
            _log.warning("a peer that did not take %d bytes of its answers was cut off", most.untaken_bytes)
            most.abort()

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in tuple(self.connections):
            connection.sweep(now)
        if self.memory.full and self._was_full:
            self._relieve()
        self._was_full = self.memory.full
        self._timer = self.loop.call_later(self.patience.tick_s, self._sweep)


class Memory:
    """What all connections of a front may hold together: bodies that arrive or wait for answers, answers not taken.

    From three quarters of the limit on, nobody whose request is arriving is read from, until what runs has ended; if
    nothing moves, the requests that have least of their bodies here are refused, so that the others can end. At the
    limit, every new request is refused.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._loop, self._most = loop, most
        self._enough, self._scarce = most // 2, most * 3 // 4
        self._view = memoryview(bytearray(READ_BYTES))
        self.buffer = self._view  # what a connection reads into
        self.held_bytes = 0
        self._waiting: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def short(self) -> bool:
        """Whether requests that are arriving should wait."""
        return self.held_bytes > self._scarce

    @property
    def full(self) -> bool:
        """Whether no request more is taken."""
        return self.held_bytes > self._most

    def account(self, change: int) -> None:
        """Count bytes more or less."""
        self.held_bytes += change
        if change > 0 and self.short:
            self.buffer = self._view[:SCARCE_READ_BYTES]
        elif self.held_bytes <= self._enough and len(self.buffer) < READ_BYTES:
            self.buffer = self._view
            waiting, self._waiting = self._waiting, set()
            for connection in waiting:
                connection.release()

    def wait(self, connection: Connection) -> None:
        """Read nothing of this connection's until there is memory."""
        connection.hold()
        self._waiting.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(STARVING_S, self._look, self.held_bytes)

    def forget(self, connection: Connection) -> None:
        """Do not wait for a connection that is gone."""
        self._waiting.discard(connection)

    def _look(self, before: int) -> None:
        self._timer = None
        if not self._waiting:
            return
        if self.held_bytes >= before:
            for connection in sorted(self._waiting, key=lambda each: each.held_bytes):
                if self.held_bytes <= self._enough:
                    break
                connection.shed()
        if self._waiting:
            self._timer = self._loop.call_later(STARVING_S, self._look, self.held_bytes)


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens on any more."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink()


def _in_words(problem: OSError, where: str) -> OSError:
    if problem.errno == errno.EADDRINUSE:
        return OSError(problem.errno, f"cannot listen on {where}: another program is using it")
    return OSError(problem.errno, f"cannot listen on {where}: {problem.strerror}")
