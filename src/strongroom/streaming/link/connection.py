"""Connections to Redis, for threads and for coroutines: commands in one go, replies in order, errors as values.

World: sockets. Nothing is ever sent twice from here: whether a repetition is harmless is known one floor up (`calls`).
hiredis reads the protocol. Coroutines share one connection: what they send in one turn of the loop leaves in one
write, and replies come back in order; commands that wait inside Redis (BLPOP, XREADGROUP) get one of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

from strongroom.errors import StrongroomError
from strongroom.streaming.link.place import (
    Credentials,
    NoRedisLibrary,
    Place,
    RedisAway,
    RedisPlaintext,
    RedisRefused,
    RedisSetup,
    RedisUnverified,
)
from strongroom.streaming.link.replies import (
    NOTHING_YET,
    Command,
    Reply,
    ReplyError,
    check_library,
    meaning_of,
    new_reader,
    packed,
)

__all__ = [
    "AsyncLink", "Credentials", "NoRedisLibrary", "Place", "RedisAway", "RedisPlaintext", "RedisRefused", "RedisSetup",
    "RedisUnverified", "SyncLink",
]  # fmt: skip

READ_BYTES: Final = 256 * 1024
MAX_IDLE: Final = 16


class SyncLink:
    """Connections to one Redis for threads: each exchange has one of them to itself."""

    def __init__(self, place: Place) -> None:
        """Raises RedisPlaintext, RedisSetup, NoRedisLibrary. Connects when it is first used."""
        check_library()
        self.place = place
        self._credentials = Credentials(place)
        self._idle: list[_SyncConnection] = []
        self._lock = threading.Lock()

    def exchange(self, commands: Sequence[Command], *, wait_ms: int = 0) -> list[Reply]:
        """Send commands in one go and return their replies, Redis' errors as values.

        `wait_ms`: how long they may wait inside Redis. Raises RedisAway (`unsure` once something was sent),
        RedisRefused, RedisUnverified, RedisSetup.
        """
        connection = self._take() or _SyncConnection(self.place, self._credentials)
        try:
            replies = connection.exchange(commands, self.place.timeout_ms + wait_ms)
        except BaseException as problem:
            connection.close()
            if isinstance(problem, OSError):
                raise named(problem, self.place, unsure=True) from None
            raise
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return replies
        connection.close()
        return replies

    def _take(self) -> _SyncConnection | None:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None or connection.is_still():
                return connection
            connection.close()

    def close(self) -> None:
        """Close every connection that lies still."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class _SyncConnection:
    def __init__(self, place: Place, credentials: Credentials) -> None:
        self._reader = new_reader()
        try:
            self._socket = _open(place, credentials)
        except OSError as problem:
            raise named(problem, place, unsure=False) from None
        try:
            hello = greeting(place, credentials)
            check_greeting(self.exchange(hello, place.timeout_ms) if hello else [], place)
        except OSError as problem:
            self.close()
            raise named(problem, place, unsure=False) from None
        except BaseException:
            self.close()
            raise

    def exchange(self, commands: Sequence[Command], timeout_ms: int) -> list[Reply]:
        self._socket.settimeout(timeout_ms / 1000)
        self._socket.sendall(packed(commands))
        replies: list[Reply] = []
        while len(replies) < len(commands):
            reply = self._reader.gets()
            if reply is NOTHING_YET:
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError("the connection was closed")
                self._reader.feed(data)
            else:
                replies.append(reply)
        return replies

    def is_still(self) -> bool:
        """Return whether nothing came since the last reply: bytes or an end mean that the connection is of no use."""
        return not select.select([self._socket], [], [], 0)[0]

    def close(self) -> None:
        self._socket.close()


def _open(place: Place, credentials: Credentials) -> socket.socket:
    if place.unix is not None:
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        plain.settimeout(place.timeout_ms / 1000)
        try:
            plain.connect(place.unix)
        except BaseException:
            plain.close()
            raise
        return plain
    plain = socket.create_connection((place.host, place.port), timeout=place.timeout_ms / 1000)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return credentials.context().wrap_socket(plain, server_hostname=place.host) if place.tls else plain
    except BaseException:
        plain.close()
        raise


def greeting(place: Place, credentials: Credentials) -> list[Command]:
    """Return what is said first on a connection: who we are, and which database we mean."""
    login = credentials.login()
    words: list[Command] = [("AUTH", *login)] if login else []
    return [*words, ("SELECT", place.database)] if place.database else words


def check_greeting(replies: Sequence[Reply], place: Place) -> None:
    """Raise RedisRefused, RedisAway or RedisUnexpected where Redis did not like the greeting."""
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise meaning_of(reply, place.spelled)


def named(problem: BaseException, place: Place, *, unsure: bool) -> StrongroomError:
    """Return what a failed connection means: not the one we asked for, not one that takes us, or not there."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return RedisUnverified(f"{place.spelled} shows a certificate that is not trusted: {problem.verify_message}")
    if isinstance(problem, ssl.SSLError) and "ALERT" in (problem.reason or ""):
        return RedisRefused(
            f"{place.spelled} ends the TLS handshake: {(problem.reason or '').replace('_', ' ').lower()}"
        )
    said = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return RedisAway(f"{place.spelled} is not reached: {said or type(problem).__name__}", unsure=unsure)


class AsyncLink:
    """Connections to one Redis for the coroutines of one event loop."""

    def __init__(self, place: Place) -> None:
        """Raises RedisPlaintext, RedisSetup, NoRedisLibrary. Connects when it is first used."""
        check_library()
        self.place = place
        self._credentials = Credentials(place)
        self._shared: _AsyncConnection | None = None
        self._opening: asyncio.Lock | None = None
        self._idle: list[_AsyncConnection] = []
        self._closed = False

    async def exchange(self, commands: Sequence[Command], *, wait_ms: int = 0) -> list[Reply]:
        """Send commands in one go and return their replies, Redis' errors as values.

        `wait_ms`: how long they may wait inside Redis. Raises RedisAway (`unsure` once something was sent),
        RedisRefused, RedisUnverified, RedisSetup.
        """
        if wait_ms:
            return await self._alone(commands, wait_ms)
        connection = self._shared
        if connection is None or connection.ended:
            connection = await self._share()
        return await self._ask(connection, commands, 0)

    async def _share(self) -> _AsyncConnection:
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._shared is None or self._shared.ended:
                self._shared = await self._open()
            return self._shared

    async def _alone(self, commands: Sequence[Command], wait_ms: int) -> list[Reply]:
        connection = None
        while self._idle and (connection is None or connection.ended):
            connection = self._idle.pop()
        if connection is None or connection.ended:
            connection = await self._open()
        try:
            replies = await self._ask(connection, commands, wait_ms)
        except BaseException:  # a wait that was given up must not take what comes later
            connection.abort()
            raise
        if len(self._idle) < MAX_IDLE and not self._closed:
            self._idle.append(connection)
        else:
            connection.abort()
        return replies

    async def _ask(self, connection: _AsyncConnection, commands: Sequence[Command], wait_ms: int) -> list[Reply]:
        try:
            async with asyncio.timeout((self.place.timeout_ms + wait_ms) / 1000):
                return await connection.exchange(commands)
        except TimeoutError as problem:
            connection.abort()
            raise named(problem, self.place, unsure=True) from None
        except OSError as problem:
            raise named(problem, self.place, unsure=not isinstance(problem, _NotSent)) from None

    async def _open(self) -> _AsyncConnection:
        place, loop = self.place, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(place.timeout_ms / 1000):
                if place.unix is not None:
                    _, protocol = await loop.create_unix_connection(_AsyncConnection, place.unix)
                else:
                    tls = {"ssl": self._credentials.context(), "server_hostname": place.host} if place.tls else {}
                    _, protocol = await loop.create_connection(
                        _AsyncConnection, place.host, place.port, **cast("Any", tls)
                    )
                hello = greeting(place, self._credentials)
                try:
                    check_greeting(await protocol.exchange(hello) if hello else [], place)
                except BaseException:
                    protocol.abort()
                    raise
                return protocol
        except OSError as problem:  # TimeoutError and SSLError are OSErrors
            raise named(problem, place, unsure=False) from None

    async def close(self) -> None:
        """Close every connection; what still waits fails."""
        self._closed = True
        open_ones = [*self._idle, *([self._shared] if self._shared is not None else [])]
        self._idle, self._shared = [], None
        for connection in open_ones:
            connection.abort()
        for connection in open_ones:
            await connection.gone()


class _NotSent(ConnectionResetError):
    """The connection had ended before anything was sent."""


class _Waiting:
    """The commands of one exchange whose replies are on their way."""

    __slots__ = ("count", "future", "replies")

    def __init__(self, count: int, future: asyncio.Future[list[Reply]]) -> None:
        self.count = count
        self.future = future
        self.replies: list[Reply] = []


class _AsyncConnection(asyncio.Protocol):
    """One connection: writes leave together at the end of a turn, replies go to whom they belong, in order."""

    def __init__(self) -> None:
        self.ended = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = new_reader()
        self._waiting: deque[_Waiting] = deque()
        self._outgoing: list[bytes] = []
        self._room = asyncio.Event()
        self._room.set()
        self._lost: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        if not self._room.is_set():
            await self._room.wait()
        if self.ended:
            raise _NotSent("the connection was closed")
        data = packed(commands)
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        self._waiting.append(_Waiting(len(commands), future))
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(data)
        return await future

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None and not self.ended:
            self._transport.write(b"".join(outgoing) if len(outgoing) > 1 else outgoing[0])

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while self._waiting:
                head = self._waiting[0]
                reply = self._reader.gets()
                if reply is NOTHING_YET:
                    return
                head.replies.append(reply)
                if len(head.replies) == head.count:
                    self._waiting.popleft()
                    if not head.future.done():
                        head.future.set_result(head.replies)
        except ConnectionError:  # not Redis' protocol
            self.abort()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        if not self._lost.done():
            self._lost.set_result(None)

    def abort(self) -> None:
        """Close at once; whoever waits fails."""
        self._end(None)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, reason: Exception | None) -> None:
        self.ended = True
        self._room.set()
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            if not each.future.done():
                lost = reason if isinstance(reason, OSError) else ConnectionResetError("the connection was closed")
                each.future.set_exception(lost)

    async def gone(self) -> None:
        """Wait until the transport is closed."""
        await asyncio.shield(self._lost)
