"""The broker on the network: Gramine's provisioning protocol over TLS, one coroutine per connection.

World: sockets, threads. The peer's certificate is judged after the handshake and before its request is read; judging
runs in a few threads, so that the loop never waits for it. Each connection has a deadline and a byte budget of its own
and nothing is shared but the limits: an idle or slow peer delays nobody (threat FB-16). A refused peer sees a closed
connection and nothing else; the owner's log has the reasons under the same id as the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import secrets
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from OpenSSL import SSL

from strongroom.broker.service import Case, ReleaseService
from strongroom.broker.tls import MAX_HANDSHAKE_BYTES, TlsPeer
from strongroom.errors import StrongroomError, Unreachable
from strongroom.gramine import provisioning

PROTOCOL_NAME: Final = "gramine-v1"
_READ_BYTES: Final = 4096
_LINGER_BYTES: Final = 256 * 1024
_BUSY_LOG_S: Final = 10.0
_ACCEPT_AT_ONCE: Final = 16  # asyncio takes as many in each of the few rounds that pass before one is looked at
_OTHER_DESCRIPTORS: Final = 128  # for these, the ledger, policy, collateral and keys: a flood must not take them
_log = logging.getLogger("strongroom.broker")
_T = TypeVar("_T")


class PeerLeft(Unreachable):
    """A peer closed its connection before it had asked for a secret."""

    code = "SR-PEER-LEFT"
    fix = "If this was meant to be a client, read its log: it may not trust the broker's certificate or name."


class PeerSlow(Unreachable):
    """A peer did not finish its handshake or its request before the deadline."""

    code = "SR-PEER-SLOW"
    fix = "Check the network between the peer and the broker, or raise --deadline."


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one peer, one address and all together may take."""

    deadline_s: float = 10.0  # that a peer may take for its handshake and its request
    connections: int = 2048
    connections_per_address: int = 1792
    linger_s: float = 1.0  # how long a closed connection waits for the peer's end
    drain_s: float = 10.0  # how long a stop waits for those who are being served
    workers: int = 4  # threads that judge evidence


class BrokerServer:
    """Serves one port. `start`, then `stop`; both on the event loop that runs it."""

    def __init__(self, service: ReleaseService, context: SSL.Context, *, limits: ServerLimits | None = None) -> None:
        self._service = service
        self._context = context
        self._limits = _within_descriptors(limits or ServerLimits())
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._per_address: Counter[str] = Counter()
        self._busy_logged = float("-inf")
        self._server: asyncio.Server | None = None
        self._pool: ThreadPoolExecutor | None = None

    async def start(self, address: str, port: int) -> int:
        """Listen; return the port, which the system chooses where `port` is 0."""
        self._pool = ThreadPoolExecutor(self._limits.workers, thread_name_prefix="appraise")
        self._server = await asyncio.start_server(
            self._connected, address, port, limit=_READ_BYTES, backlog=_ACCEPT_AT_ONCE
        )
        for listening in self._server.sockets:
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as same:
                same.listen(self._limits.connections)  # the queue may be longer than what is accepted at once
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no more connections, cut those that only wait, and let those finish whose evidence is being judged."""
        if self._server is None or self._pool is None:
            return
        self._server.close()
        for task in self._tasks - self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving, timeout=self._limits.drain_s)
        remaining = [task for task in self._tasks if task.cancel()]
        await asyncio.gather(*remaining, return_exceptions=True)
        self._pool.shutdown()
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run one connection from its acceptance to its end; nothing leaves here as an exception."""
        host, port = (writer.get_extra_info("peername") or ("unknown", 0))[:2]
        if not self._admit(host):
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs has a task; this is for the type checker
        self._tasks.add(task)
        try:
            await self._converse(_Connection(self._context, reader, writer), f"{host}:{port}")
        except asyncio.CancelledError:
            _log.info("connection of %s cut: the broker stops", host)
        except Exception:  # noqa: BLE001  # the last door: one peer's surprise must end nobody else's connection
            _log.exception("a defect while serving %s", host)
        finally:
            self._tasks.discard(task)
            self._serving.discard(task)
            self._release_place(host)
            writer.transport.abort()

    def _admit(self, host: str) -> bool:
        full = self._per_address.total() >= self._limits.connections
        if full or self._per_address[host] >= self._limits.connections_per_address:
            now = asyncio.get_running_loop().time()
            if now - self._busy_logged > _BUSY_LOG_S:
                self._busy_logged = now
                _log.warning("too many connections%s: turning %s away", "" if full else " of one address", host)
            return False
        self._per_address[host] += 1
        return True

    def _release_place(self, host: str) -> None:
        self._per_address[host] -= 1
        if not self._per_address[host]:
            del self._per_address[host]

    async def _converse(self, connection: _Connection, peer: str) -> None:
        """Handshake, judge, read the request, release: the dialogue top to bottom."""
        case, asked = Case(id=secrets.token_hex(6), peer=peer, protocol=PROTOCOL_NAME), False
        try:
            # 1. The handshake: the peer proves that it holds its certificate's key.
            left_s = await self._in_time(connection.handshake, self._limits.deadline_s)
            self._mark_serving()
            # 2. The evidence in the certificate, before a byte of the request is read.
            tls = connection.tls
            case = replace(case, tenant=self._service.tenant_of(tls.server_name))
            certificate, live_key = tls.peer_certificate(), tls.peer_key()
            judge = partial(self._service.consider, case, certificate, live_key=live_key, tls=tls.version)
            case = await self._in_thread(judge)
            # 3. Exactly the request; a denied peer is not even asked for it.
            protocol = provisioning.Server()
            if case.granted:
                await self._in_time(partial(connection.request, protocol), left_s)
                # 4. The ledger's line is on the disk before the secret leaves.
                asked = True
                await self._hand_over(connection, protocol, case)
            else:
                await asyncio.wrap_future(self._service.submit_refusal(case))
        except StrongroomError as problem:
            if asked:
                _log.debug("%s: nothing was handed over: %s", case.id, problem.sentence)  # the service has said why
            elif connection.received_bytes:
                await asyncio.wrap_future(self._service.submit_refusal(case, problem))
            else:
                _log.debug("%s connected and said nothing", peer)
        await connection.leave(self._limits.linger_s)

    async def _hand_over(self, connection: _Connection, protocol: provisioning.Server, case: Case) -> None:
        released = await asyncio.wrap_future(self._service.submit_release(case))
        if released is None:
            return
        try:
            reply = protocol.answer(released.secret)
            connection.tls.write(reply)
            reply[:] = bytes(len(reply))
        finally:
            released.secret.wipe()
        connection.tls.close_notify()
        try:
            await self._in_time(connection.flush, self._limits.deadline_s)
        except (StrongroomError, OSError):
            _log.warning("%s: the peer left before its secret had been sent", case.id)

    def _mark_serving(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)

    async def _in_time(self, step: Callable[[], Awaitable[None]], seconds: float) -> float:
        """Run a step that waits for the peer; return how many of its seconds are left."""
        clock = asyncio.get_running_loop().time
        ends = clock() + seconds
        try:
            async with asyncio.timeout(seconds):
                await step()
        except TimeoutError:
            raise PeerSlow(f"the peer took longer than {self._limits.deadline_s:g} s") from None
        except OSError as problem:
            raise PeerLeft(f"the connection broke: {problem.strerror or type(problem).__name__}") from None
        return max(ends - clock(), 0.0)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _within_descriptors(limits: ServerLimits) -> ServerLimits:
    """Return limits that leave file descriptors to the rest of the process."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=max(1, min(limits.connections, most - _OTHER_DESCRIPTORS)))


class _Connection:
    """TLS between one peer and its streams."""

    def __init__(self, context: SSL.Context, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tls = TlsPeer(context, server=True, max_bytes=MAX_HANDSHAKE_BYTES)
        self.received_bytes = 0
        self._reader = reader
        self._writer = writer

    async def handshake(self) -> None:
        while not self.tls.handshake():
            await self.flush()
            await self._receive()
        await self.flush()

    async def request(self, protocol: provisioning.Server) -> None:
        """Read until `protocol` has its request, and look whether more came with it."""
        asked = False
        while not asked:
            data = self.tls.read()
            if data is None:
                await self.flush()  # TLS itself may have to answer, for instance that it does not renegotiate
                await self._receive()
            elif not data:
                raise PeerLeft("the peer closed TLS before it had asked")
            else:
                asked = bool(protocol.receive(data))
        protocol.receive(self.tls.read() or b"")

    async def _receive(self) -> None:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise PeerLeft("the peer closed the connection")
        self.received_bytes += len(data)
        self.tls.feed(data)

    async def flush(self) -> None:
        data = self.tls.outgoing()
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def leave(self, linger_s: float) -> None:
        """Close our direction and swallow what still comes: closing at once could destroy what the peer has to read.

        Every refusal ends like this, so that none can be told from another by its bytes (threat SV-10).
        """
        try:
            self._writer.write_eof()
            async with asyncio.timeout(linger_s):
                left = _LINGER_BYTES
                while left > 0 and (data := await self._reader.read(_READ_BYTES)):
                    left -= len(data)
        except (TimeoutError, OSError):
            pass
