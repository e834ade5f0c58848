"""The broker on the network: Gramine's provisioning protocol over TLS, one small state machine per connection.

World: sockets, threads. The peer's certificate is judged after the handshake and before its request is read; judging
runs in a few threads, so that the loop never waits for it. Each connection has a deadline and a byte budget of its own
and nothing is shared but the limits: an idle or slow peer delays nobody (threat FB-16).
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from dataclasses import dataclass, replace
from typing import Final

from OpenSSL import SSL

from strongroom.broker.address_limits import AddressBudget, AddressLimits
from strongroom.broker.gramine_connection import PROTOCOL_NAME, Connection, Patience, PeerLeft, PeerSlow
from strongroom.broker.service import ReleaseService
from strongroom.broker.turns import Turns
from strongroom.broker.workers import Workers

__all__ = ["PROTOCOL_NAME", "BrokerServer", "PeerLeft", "PeerSlow", "ServerLimits"]
_BUSY_LOG_S: Final = 10.0
_ACCEPT_AT_ONCE: Final = 16  # asyncio takes as many in each of the few rounds that pass before one is looked at
_INBOX_BYTES: Final = 16 * 1024  # a certificate with two quotes is about 11 kB
_OTHER_DESCRIPTORS: Final = 128  # for these, the store, policy, collateral and keys: a flood must not take them
_log = logging.getLogger("strongroom.broker")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one peer, one address and all together may take."""

    deadline_s: float = 10.0  # that a peer may take for its handshake and its request
    connections: int = 2048
    connections_per_address: int = 1792  # a whole cluster may stand behind one address
    linger_s: float = 1.0  # how long a closed connection waits for the peer's end
    drain_s: float = 10.0  # how long a stop waits for those who are being served
    workers: int = 4  # threads that judge evidence
    refusals: int = 1000  # that one address may collect before it is turned away
    refusals_per_second: float = 20.0  # of these are forgiven


class BrokerServer:
    """Serves one port. `start`, then `stop`; both on the event loop that runs it."""

    def __init__(self, service: ReleaseService, context: SSL.Context, *, limits: ServerLimits | None = None) -> None:
        self.service = service
        self.context = context
        self._limits = _within_descriptors(limits or ServerLimits())
        self.patience = Patience(deadline_s=self._limits.deadline_s, linger_s=self._limits.linger_s)
        self.inbox = memoryview(bytearray(_INBOX_BYTES))
        self._connections: set[Connection] = set()
        self._busy_logged = float("-inf")
        self._server: asyncio.Server | None = None
        self._changed: asyncio.Event | None = None

    async def start(self, address: str, port: int) -> int:
        """Listen; return the port, which the system chooses where `port` is 0."""
        loop = asyncio.get_running_loop()
        limits = self._limits
        budget = AddressBudget(
            connections=limits.connections, connections_per_address=limits.connections_per_address,
            refusals=limits.refusals, refusals_per_second=limits.refusals_per_second,
        )  # fmt: skip
        self._addresses = AddressLimits(budget, loop.time)
        self._changed = asyncio.Event()
        self.turns = Turns(loop)
        self.workers = Workers(loop, limits.workers, name="judge")
        try:
            self._server = await loop.create_server(lambda: Connection(self), address, port, backlog=_ACCEPT_AT_ONCE)
        except BaseException:
            self.workers.stop()  # its threads would outlive a start that failed
            raise
        for listening in self._server.sockets:
            with socket.fromfd(listening.fileno(), listening.family, listening.type) as same:
                same.listen(limits.connections)  # the queue may be longer than what is accepted at once
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no more connections, cut those that only wait, and let those finish whose evidence is being judged."""
        if self._server is None or self._changed is None:
            return
        self._server.close()
        for connection in self._connections - self._served():
            connection.cut()
        try:
            async with asyncio.timeout(self._limits.drain_s):
                while self._served():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            _log.warning("%d peers were cut while they were being served", len(self._served()))
        for connection in tuple(self._connections):
            connection.cut()
        while self._connections:
            self._changed.clear()
            await self._changed.wait()
        self.workers.stop()
        await self._server.wait_closed()

    def _served(self) -> set[Connection]:
        return {connection for connection in self._connections if connection.served}

    # For connections.

    def opened(self, connection: Connection, address: str) -> bool:
        """Return whether there is room for another connection."""
        obstacle = self._addresses.obstacle(address)
        if obstacle is not None:
            now = asyncio.get_running_loop().time()
            if now - self._busy_logged > _BUSY_LOG_S:
                self._busy_logged = now
                _log.warning("%s: turning %s away", obstacle, address)
            return False
        self._addresses.enter(address)
        self._connections.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        """Take note of a connection's end."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._addresses.leave(connection.address)
        self.left()

    def refused(self, connection: Connection) -> None:
        """Take note that its peer was refused."""
        self._addresses.refused(connection.address)

    def left(self) -> None:
        """Take note that a connection has been served, or is gone."""
        if self._changed is not None:
            self._changed.set()


def _within_descriptors(limits: ServerLimits) -> ServerLimits:
    """Return limits that leave file descriptors to the rest of the process."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=max(1, min(limits.connections, most - _OTHER_DESCRIPTORS)))
