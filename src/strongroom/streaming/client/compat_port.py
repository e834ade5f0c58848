"""The plaintext port of `queue serve --compat`: for the original's client, which knows no TLS and no password.

It listens on this machine's loopback alone, answers the few commands of `compat_commands` for one job, and forwards
them over TLS as a user of Redis that may do no more. Whoever can reach the port may use the queue: off by default, and
loud. World: sockets.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from strongroom.clusterserving.names import Job
from strongroom.errors import Unreachable
from strongroom.streaming.client import resp
from strongroom.streaming.client.compat_session import Session, Upstream
from strongroom.streaming.client.resp import CommandLimits, NotRedisProtocol, Requests

_log = logging.getLogger(__name__)

LOOPBACK: Final = ("127.0.0.1", "::1")
BASE64_GROWTH: Final = 4 / 3
WARNING: Final = (
    "COMPAT PORT ON: %s:%d takes records and hands out results of job %s WITHOUT TLS AND WITHOUT A PASSWORD, to every "
    "program and every user of this machine. It is meant for the original's client; leave --compat out otherwise."
)


class CompatPortTaken(Unreachable):
    """The plaintext port for the original's client cannot be opened."""

    code = "SR-QUEUE-COMPAT-PORT"
    fix = "Choose another port with --compat, or end the program that has this one (a Redis usually has 6379)."


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatLimits:
    """Bounds of the port: what a record has, how many connections there are, how long they may be still.

    `unread_bytes`: replies of all connections that their clients have not read; `held_bytes`: requests of all that have
    not ended, and transactions not executed yet. The connection that goes beyond is ended, or told to ask for less.
    """

    max_record_bytes: int = 32 << 20
    connections: int = 64
    idle_s: float = 300.0
    half_request_s: float = 30.0
    unread_bytes: int = 256 << 20
    held_bytes: int = 256 << 20
    read_bytes: int = 256 << 10


class CompatPort:
    """The listener. `async with CompatPort(...)` opens it on loopback, IPv4 and if there is one IPv6, and ends it."""

    def __init__(self, upstream: Upstream, job: Job, port: int, *, limits: CompatLimits | None = None) -> None:
        self._upstream = upstream
        self._job = job
        self._wanted = port
        self._limits = limits or CompatLimits()
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._held: dict[Requests, int] = {}
        self._sessions: set[Session] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        """Open the port and say so loudly. Raises CompatPortTaken."""
        try:
            first = await asyncio.start_server(self._accept, LOOPBACK[0], self._wanted)
        except OSError as problem:
            raise CompatPortTaken(f"port {self._wanted} of {LOOPBACK[0]}: {problem.strerror}") from None
        self._servers.append(first)
        self.port = first.sockets[0].getsockname()[1]
        try:
            self._servers.append(await asyncio.start_server(self._accept, LOOPBACK[1], self.port))
        except OSError:
            _log.info("no IPv6 loopback here, or its port %d is taken: the compat port is on IPv4 alone", self.port)
        _log.warning(WARNING, LOOPBACK[0], self.port, self._job.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(list(self._open))
        for server in self._servers:
            await server.wait_closed()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._open)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= self._limits.connections:
            writer.write(resp.error("ERR max number of clients reached"))
            writer.close()
            return
        self._open[task] = writer
        session = Session(self._upstream, self._job, self._text_bytes(), room=self._room)
        self._sessions.add(session)
        try:
            await self._serve(session, reader, writer)
        except (ConnectionError, TimeoutError):
            _log.debug("a client of the compat port went away or was still for too long")
        except NotRedisProtocol as problem:
            _log.warning("the compat port ended a connection: %s", problem)
            writer.write(resp.error(f"ERR Protocol error: {problem.sentence}"))
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            del self._open[task]
            self._sessions.discard(session)
            if session.refused:
                _log.warning("the compat port refused %d commands of one connection", session.refused)
            writer.close()

    async def _serve(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = Requests(CommandLimits(total_bytes=self._text_bytes() + (8 << 20)))
        try:
            await self._talk(session, requests, reader, writer)
        finally:
            self._held.pop(requests, None)

    async def _talk(
        self, session: Session, requests: Requests, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while not session.closing:
            patience = self._limits.half_request_s if requests.waiting else self._limits.idle_s
            async with asyncio.timeout(patience):
                data = await reader.read(self._limits.read_bytes)
            if not data:
                return
            commands = requests.receive(data)
            replies = await session.answer(commands) if commands else []
            self._held[requests] = requests.held_bytes + session.held_bytes
            if sum(self._held.values()) > self._limits.held_bytes:
                raise NotRedisProtocol("requests that have not ended hold more than they may together")
            if replies:
                writer.writelines(replies)
                session.reply_bytes = 0
                await self._let_read(writer)

    async def _let_read(self, writer: asyncio.StreamWriter) -> None:
        """Replies wait while a client still writes (pipelines do); all of them together must not fill the memory."""
        if self._unread() > self._limits.unread_bytes:
            _log.warning(
                "the compat port ended a connection: more than %d bytes wait unread", self._limits.unread_bytes
            )
            writer.transport.abort()
            raise ConnectionAbortedError
        await asyncio.sleep(0)  # others have their turn

    def _unread(self) -> int:
        return sum(each.transport.get_write_buffer_size() for each in self._open.values())

    def _room(self) -> int:
        """Return for how many bytes of replies there is room. What is read anew fills half of the memory at most."""
        return self._limits.unread_bytes // 2 - self._unread() - sum(each.reply_bytes for each in self._sessions)

    def _text_bytes(self) -> int:
        return int(self._limits.max_record_bytes * BASE64_GROWTH) + 1024
