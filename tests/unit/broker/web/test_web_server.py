"""The broker's HTTP ports over real TLS: limits, certificates, request ids, and errors that show nothing."""

import asyncio
import json
import logging
import socket
import ssl
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from strongroom.broker.tls import ServerKeyUnusable
from strongroom.broker.web import WebLimits, WebServer, client_certificate_of, request_id_of, tls_context
from strongroom.errors import BadInput, Refused
from strongroom.pki.authority import Authority
from strongroom.pki.lending import as_path
from strongroom.secret import Secret

NOW = datetime.now(UTC)
CANARY = "canary-1c3f"


class Unwelcome(Refused):
    """A test says no."""

    code = "SR-TEST-REFUSED"
    fix = "Nothing."


@pytest.fixture(scope="module")
def authority():
    return Authority.create("web test CA", now=NOW)


@pytest.fixture(scope="module")
def identity(authority):
    return authority.issue_server(["localhost", "127.0.0.1"], now=NOW)


async def show(request: Request) -> PlainTextResponse:
    certificate = client_certificate_of(request.scope)
    body = await request.body()
    return PlainTextResponse(f"{request_id_of(request.scope)} {len(certificate or b'')} {len(body)}")


async def fail(_: Request) -> PlainTextResponse:
    raise ZeroDivisionError(CANARY)


async def refuse(_: Request) -> PlainTextResponse:
    raise Unwelcome("no")


APPLICATION = Starlette(
    routes=[Route("/", show, methods=["GET", "POST"]), Route("/fail", fail), Route("/refuse", refuse)]
)


class Running:
    """A server on the test's own loop, and blocking clients in threads."""

    def __init__(self, authority, identity, limits):
        context = tls_context(identity.certificate_pem, identity.key_pem, client_ca_pem=authority.certificate_pem)
        self.server = WebServer(APPLICATION, context, name="test", limits=limits)
        self.authority = authority

    def trusting(self, leaf=None):
        context = ssl.create_default_context(cadata=self.authority.certificate_pem.decode())
        if leaf is not None:
            with as_path(Secret(leaf.certificate_pem)) as chain, as_path(leaf.key_pem) as key:
                context.load_cert_chain(chain, key)
        return context

    def connect(self, leaf=None):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return self.trusting(leaf).wrap_socket(raw, server_hostname="localhost")

    def ask(self, data, leaf=None):
        """Send bytes; return everything until the server closes."""
        with self.connect(leaf) as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection):
    answer = b""
    while True:
        try:
            data = connection.recv(65536)
        except (ssl.SSLError, ConnectionError):
            return answer
        if not data:
            return answer
        answer += data


def served(authority, identity, story, **limits):
    """Run `story(running)` in a thread beside a server; return what it returned."""

    async def main():
        running = Running(authority, identity, WebLimits(**limits))
        running.port = await running.server.start("127.0.0.1", 0)
        try:
            return await asyncio.to_thread(story, running)
        finally:
            await running.server.stop()

    return asyncio.run(main())


def head_and_body(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body


def get(path="/", extra=""):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{extra}\r\n".encode()


def test_an_answer_carries_the_callers_request_id_where_it_is_a_plain_word(authority, identity, caplog):
    with caplog.at_level(logging.INFO, "strongroom.broker.http"):
        head, body = head_and_body(
            served(authority, identity, lambda web: web.ask(get(extra="X-Request-ID: replica-7.a\r\n")))
        )
    assert "x-request-id: replica-7.a" in head
    assert body.startswith(b"replica-7.a ")
    assert "cache-control: no-store" in head
    assert "x-content-type-options: nosniff" in head
    assert any("replica-7.a: test GET / -> 200" in record.getMessage() for record in caplog.records)


def test_a_request_id_that_would_break_a_log_line_is_replaced(authority, identity):
    _, body = head_and_body(served(authority, identity, lambda web: web.ask(get(extra="X-Request-ID: a b\tc\r\n"))))
    assert len(body.split()[0]) == 16


def test_sv_15_a_clients_certificate_is_shown_to_the_application_and_a_servers_is_not(authority, identity):
    client = authority.issue_client("ada", now=NOW)
    assert head_and_body(served(authority, identity, lambda web: web.ask(get(), client)))[1].split()[1] != b"0"
    assert head_and_body(served(authority, identity, lambda web: web.ask(get())))[1].split()[1] == b"0"

    def as_server(web):
        return web.ask(get(), identity)

    answer = served(authority, identity, as_server)
    assert answer == b"" or head_and_body(answer)[1].split()[1] == b"0"


def test_a_client_of_another_authority_gets_no_answer(authority, identity):
    stranger = Authority.create("another CA", now=NOW).issue_client("ada", now=NOW)
    assert served(authority, identity, lambda web: web.ask(get(), stranger)) == b""


def test_sv_01_plaintext_gets_no_answer(authority, identity):
    def plain(web):
        with socket.create_connection(("127.0.0.1", web.port), timeout=20) as connection:
            connection.sendall(get())
            return read_all(connection)

    assert b"HTTP" not in served(authority, identity, plain)


def test_a_defect_shows_its_id_and_nothing_else(authority, identity, caplog):
    head, body = head_and_body(served(authority, identity, lambda web: web.ask(get("/fail"))))
    assert head.startswith("HTTP/1.1 500")
    assert CANARY.encode() not in body
    assert json.loads(body)["code"] == "SR-DEFECT"
    assert CANARY in caplog.text
    assert json.loads(body)["id"] in caplog.text


def test_an_error_of_ours_becomes_a_problem(authority, identity):
    head, body = head_and_body(served(authority, identity, lambda web: web.ask(get("/refuse"))))
    assert head.startswith("HTTP/1.1 403")
    assert "application/problem+json" in head
    assert json.loads(body) == {
        "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "no", "code": "SR-TEST-REFUSED",
        "fix": "Nothing.",
    }  # fmt: skip


@pytest.mark.parametrize("announced", [True, False])
def test_sv_12_a_body_over_the_limit_is_refused_before_it_is_kept(authority, identity, announced):
    chunk = b"x" * 1000
    if announced:
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + chunk
    else:
        piece = b"3e8\r\n" + chunk + b"\r\n"
        request = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + piece + piece
    head, body = head_and_body(served(authority, identity, lambda web: web.ask(request), body_bytes=1500))
    assert head.startswith("HTTP/1.1 413")
    assert json.loads(body)["code"] == "SR-HTTP-BODY"


def test_fb_16_a_body_that_does_not_come_ends_at_its_deadline(authority, identity):
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nabc"
    head, body = head_and_body(served(authority, identity, lambda web: web.ask(request), body_s=0.2))
    assert head.startswith("HTTP/1.1 408")
    assert json.loads(body)["code"] == "SR-HTTP-SLOW"


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nX: y", b"\r\n\r\n"])
def test_fb_16_a_head_that_does_not_come_ends_at_its_deadline(authority, identity, begun):
    assert served(authority, identity, lambda web: web.ask(begun), head_s=0.2) == b""


def test_fb_16_a_handshake_that_does_not_come_ends_at_its_deadline(authority, identity):
    def silent(web):
        with socket.create_connection(("127.0.0.1", web.port), timeout=20) as connection:
            return read_all(connection)

    assert served(authority, identity, silent, handshake_s=0.2) == b""


def test_sv_12_a_head_without_end_is_cut(authority, identity):
    def endless(web):
        with web.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
            try:
                for _ in range(64):
                    connection.sendall(b"y" * 4096)
            except (OSError, ssl.SSLError):
                return b""
            return read_all(connection)

    assert served(authority, identity, endless, head_s=30.0) == b""


def test_fb_16_one_address_cannot_take_every_place(authority, identity):
    def crowd(web):
        held = [socket.create_connection(("127.0.0.1", web.port), timeout=20) for _ in range(3)]
        try:
            with socket.create_connection(("127.0.0.1", web.port), timeout=20) as turned_away:
                assert read_all(turned_away) == b""
        finally:
            for each in held:
                each.close()
        while True:  # the places come back as soon as the server has seen the ends
            try:
                return web.ask(get())
            except (OSError, ssl.SSLError):
                continue

    assert b"HTTP/1.1 200" in served(authority, identity, crowd, connections_per_address=3)


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /refuse HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"]
)
def test_a_connection_serves_several_requests_whether_a_body_was_read_or_not(authority, identity, first):
    answer = served(authority, identity, lambda web: web.ask(first + get()))
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.count(b"connection: close") == 1


def test_head_and_body_of_an_answer_do_not_wait_for_each_other(authority, identity):
    def at_once(web):
        with web.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1)
            [protocol] = web.server._state.connections
            own = protocol.transport.get_extra_info("socket")
            return own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    assert served(authority, identity, at_once)


def test_new_connections_get_the_certificate_that_is_used_now(authority, identity):
    other = authority.issue_server(["localhost"], now=NOW)

    def renewed(web):
        shown = []
        for leaf in (None, other):
            if leaf is not None:
                web.server.use(tls_context(leaf.certificate_pem, leaf.key_pem))
            with web.connect() as connection:
                shown.append(connection.getpeercert(binary_form=True))
        return shown

    before, after = served(authority, identity, renewed)
    assert before != after


def test_a_stop_lets_an_answer_reach_its_end(authority, identity):
    async def main():
        release = asyncio.Event()
        entered = asyncio.Event()

        async def slow(_: Request) -> PlainTextResponse:
            entered.set()
            await release.wait()
            return PlainTextResponse("whole")

        running = Running(authority, identity, WebLimits())
        running.server = WebServer(
            Starlette(routes=[Route("/", slow)]), tls_context(identity.certificate_pem, identity.key_pem), name="test"
        )
        running.port = await running.server.start("127.0.0.1", 0)
        asking = asyncio.create_task(asyncio.to_thread(running.ask, get()))
        await entered.wait()
        stopping = asyncio.create_task(running.server.stop())
        await asyncio.sleep(0)
        release.set()
        await stopping
        return await asking

    assert asyncio.run(main()).endswith(b"whole")


def test_a_certificate_that_does_not_fit_its_key_is_refused(authority, identity):
    other = authority.issue_server(["localhost"], now=NOW)
    with pytest.raises(ServerKeyUnusable) as caught:
        tls_context(identity.certificate_pem, other.key_pem)
    assert caught.value.code == "SR-BROKER-CERTIFICATE"
    assert isinstance(caught.value, BadInput)
