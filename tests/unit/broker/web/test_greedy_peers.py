"""Peers that want more than their share: requests without end, answers that nobody takes, descriptors of others."""

import asyncio
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from strongroom.broker.web import WebLimits, WebServer, tls_context
from strongroom.broker.web.server import MAX_HEAD_BYTES, MAX_PIPELINED
from strongroom.broker.web.shares import OWN, shares_of
from strongroom.pki.authority import Authority

REQUEST = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def identity():
    authority = Authority.create("web test CA", now=datetime.now(UTC))
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    return leaf, ssl.create_default_context(cadata=authority.certificate_pem.decode())


class Port:
    """A server on the test's loop; `begun` counts the requests that reached the application."""

    def __init__(self, identity, **limits):
        leaf, self.trusting = identity
        self.begun = 0
        self.go = asyncio.Event()
        routes = [Route("/slow", self.slow), Route("/large", self.large)]
        context = tls_context(leaf.certificate_pem, leaf.key_pem)
        self.server = WebServer(Starlette(routes=routes), context, name="test", limits=WebLimits(**limits))

    async def slow(self, _):
        self.begun += 1
        await self.go.wait()
        return PlainTextResponse("done")

    async def large(self, _):
        self.begun += 1
        return StreamingResponse(b"x" * 1_000_000 for _ in range(32))

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return self.trusting.wrap_socket(raw, server_hostname="localhost")


def run(port, exchange):
    async def whole():
        port.port = await port.server.start("127.0.0.1", 0)
        try:
            return await exchange()
        finally:
            port.go.set()
            await port.server.stop()

    return asyncio.run(whole())


def until_cut(peer, data=b""):
    """Send, then read to the end; return what came, whatever way the end came."""
    found = b""
    with peer, suppress(ConnectionError, ssl.SSLError):
        peer.sendall(data)
        while piece := peer.recv(65536):
            found += piece
    return found


def test_sv_12_a_peer_that_sends_thousands_of_requests_at_once_is_cut_and_leaves_nothing(identity):
    port = Port(identity)

    async def exchange():
        return await asyncio.to_thread(lambda: until_cut(port.connect(), REQUEST * 5000))

    assert run(port, exchange) == b""
    assert port.begun <= 1
    assert not port.server._state.connections


def test_a_few_requests_may_wait_for_one_answer(identity):
    port = Port(identity)
    port.go.set()
    last = REQUEST.replace(b"Host: x", b"Connection: close")

    async def exchange():
        return await asyncio.to_thread(lambda: until_cut(port.connect(), REQUEST * (MAX_PIPELINED - 1) + last))

    assert run(port, exchange).count(b"200 OK") == MAX_PIPELINED
    assert port.begun == MAX_PIPELINED


def test_fb_16_a_peer_that_takes_nothing_of_an_answer_is_cut(identity):
    port = Port(identity, answer_s=0.2)

    async def exchange():
        peer = await asyncio.to_thread(port.connect)
        peer.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        while not port.begun or port.server._state.connections:  # noqa: ASYNC110  # its place is given back unasked
            await asyncio.sleep(0.01)
        return len(await asyncio.to_thread(until_cut, peer))

    assert run(port, exchange) < 32_000_000


def test_a_long_address_counts_as_a_part_of_the_head(identity):
    port = Port(identity)

    async def exchange():
        request = b"GET /slow?" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        return await asyncio.to_thread(lambda: until_cut(port.connect(), request))

    assert run(port, exchange) == b""
    assert port.begun == 0


@pytest.mark.parametrize("requests", [2, 5000])
def test_sv_12_peers_that_leave_while_requests_wait_fill_no_log(identity, caplog, requests):
    port = Port(identity)

    async def exchange():
        peer = await asyncio.to_thread(port.connect)
        with suppress(OSError):
            await asyncio.to_thread(peer.sendall, REQUEST * requests)
        while not port.begun:  # noqa: ASYNC110  # the application is asked in its own time
            await asyncio.sleep(0.01)
        peer.close()
        port.go.set()
        while port.server._state.connections:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)

    run(port, exchange)
    assert port.begun <= 2
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("descriptors", [64, 256, 1024, 4096, 1 << 20])
def test_fb_16_no_port_can_take_the_descriptors_of_the_others(descriptors):
    shares = shares_of(descriptors)
    assert min(shares.gramine, shares.kbs, shares.admin) >= 1
    assert descriptors < 256 or shares.gramine + shares.kbs + shares.admin + OWN <= descriptors
    limits = WebLimits().within(shares.kbs)
    assert limits.connections == min(1024, shares.kbs)
    assert limits.connections_per_address <= max(1, limits.connections // 2)
