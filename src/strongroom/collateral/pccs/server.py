"""Run the application with uvicorn until it is told to stop.

World: the network, signals, the event loop. Plaintext is spoken on loopback alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from strongroom.collateral.pccs.app import MAX_HEAD_BYTES
from strongroom.errors import Refused

MAX_REQUESTS: Final = 512  # connections and requests at once; beyond, peers get 503 at once
MAX_PER_PEER: Final = 256  # connections of one address; further ones are closed, so that others find room
REQUEST_S: Final = 10  # that a peer may take until a request's head is there, the first and each later one
_LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


class PlaintextRefused(Refused):
    """The local PCCS would speak plaintext to other machines."""

    code = "SR-PCCS-PLAINTEXT"
    fix = "Give --cert and --key, or --tls FOLDER for a self-made certificate, or listen on 127.0.0.1."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to listen, and with which certificate (PEM files); without one, on loopback alone."""

    address: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.certificate else "http"


def serve(application: ASGIApp, place: Place, *, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` gets the port once it listens. Raises PlaintextRefused, OSError."""
    if place.certificate is None and not is_loopback(place.address):
        raise PlaintextRefused(f"plaintext on {place.address} would leave this machine")
    _raise_descriptor_limit()
    config = uvicorn.Config(
        application,
        http=_Patient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_REQUESTS,
        timeout_keep_alive=REQUEST_S,
        timeout_graceful_shutdown=REQUEST_S,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ssl_certfile=place.certificate,
        ssl_keyfile=place.key,
    )
    with _listening(place) as listener:
        asyncio.run(_Server(config, lambda: ready(listener.getsockname()[1])).serve([listener]))


def is_loopback(address: str) -> bool:
    """Return whether nobody but this machine can reach an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address in _LOOPBACK_NAMES


class _Server(uvicorn.Server):
    """Says when it listens, and takes SIGTERM as a wish to end well, not as something to die of afterwards."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.force_exit = self.should_exit  # the second time means it
        self.should_exit = True


class _Patient(H11Protocol):
    """Closes a connection that has brought no whole request head for a while, for which uvicorn waits for ever.

    It also closes those of an address that has too many.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._last_cycle: RequestResponseCycle | None = None
        self.address = (self.client or ("",))[0]
        others = [each for each in self.server_state.connections if isinstance(each, _Patient)]
        if sum(each.address == self.address for each in others) > MAX_PER_PEER:
            transport.close()
        self._watch = self.loop.call_later(REQUEST_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        busy = cycle is not None and not cycle.response_complete
        if not busy and cycle is self._last_cycle:
            self.transport.close()
            return
        self._last_cycle = cycle
        self._watch = self.loop.call_later(REQUEST_S, self._look)


@contextlib.contextmanager
def _listening(place: Place) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
    with socket.create_server((place.address, place.port), family=family, backlog=128) as listener:
        yield listener


def _raise_descriptor_limit() -> None:
    """Take as many file descriptors as this process may have: each connection needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
