"""Connections of the REST front over real sockets: order, deadlines, slow peers, TLS, drain."""

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time

import pytest

from strongroom.pki.client_usage import client_check
from strongroom.serving.fronts.rest_front import MAX_PIPELINED, Answer, RestFront, RestSettings
from strongroom.serving.tls import ServerTls


class Echo:
    """Answers with the request's path and body; /hold waits for the test, /large answers with many bytes."""

    def __init__(self):
        self.entered = threading.Event()
        self.seen = []
        self.gate = self.loop = None

    def let_go(self):
        self.loop.call_soon_threadsafe(self.gate.set)

    async def __call__(self, request):
        self.seen.append(request.target)
        if request.target == b"/hold":
            self.gate, self.loop = asyncio.Event(), asyncio.get_running_loop()
            self.entered.set()
            await self.gate.wait()
        if request.target == b"/large":
            return Answer(200, bytes(64 * 1024 * 1024), "application/octet-stream")
        return Answer(200, request.target + b"|" + request.body)


@pytest.fixture
def front_with(on_loop):
    """Start fronts on free ports; they are stopped with the test."""
    started = []

    def start(*, context=None, accepts=None, echo=None, shared=False, **settings):
        async def make():
            front = RestFront(echo or Echo(), RestSettings(**{"max_body_bytes": 1000, **settings}), accepts=accepts)
            return front, await front.start("127.0.0.1", 0, context, shared=shared)

        front, port = on_loop(make())
        started.append(front)
        front.port = port
        return front

    yield start
    for front in started:
        on_loop(front.stop(5))


@contextlib.contextmanager
def connected(front):
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as connection:
        yield connection


def receive_all(connection):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def response(connection):
    found = http.client.HTTPResponse(connection)
    found.begin()
    return found, found.read()


def test_a_connection_serves_many_requests(front_with):
    front = front_with()
    client = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    for number in range(5):
        client.request("POST", f"/{number}", body=b"hello")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"/%d|hello" % number)
        assert answer.getheader("Content-Type") == "application/json"
    client.close()


def test_pipelined_requests_are_answered_in_order(front_with):
    front = front_with()
    count = 5 * MAX_PIPELINED
    with connected(front) as connection:
        for number in range(count):
            connection.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        connection.sendall(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = receive_all(connection)
    found = [part.split(b"|")[0] for part in answers.split(b"\r\n\r\n/")[1:]]
    assert found == [b"%d" % number for number in range(count)] + [b"last"]


def test_a_flood_of_pipelined_requests_is_answered_whole(front_with):
    front, count = front_with(), 3000
    with connected(front) as connection:
        sender = threading.Thread(target=connection.sendall, args=(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * count,))
        sender.start()
        received = b""
        while received.count(b"/x|") < count:
            part = connection.recv(65536)
            assert part
            received += part
        sender.join()


def test_a_body_in_chunks_is_whole(front_with):
    with connected(front_with()) as connection:
        connection.sendall(b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n")
        connection.sendall(b"2\r\nlo\r\n0\r\n\r\n")
        assert response(connection)[1] == b"/c|hello"


def test_a_client_that_waits_for_100_continue_gets_it(front_with):
    with connected(front_with()) as connection:
        connection.sendall(b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ok")
        assert response(connection)[1] == b"/c|ok"


def test_a_body_that_would_be_too_large_is_refused_instead(front_with):
    with connected(front_with()) as connection:
        connection.sendall(b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\nExpect: 100-continue\r\n\r\n")
        answer, body = response(connection)
        assert answer.status == 413
        assert "longer than 1000" in json.loads(body)["error"]
        assert connection.recv(1) == b""


def test_head_has_no_body(front_with):
    with connected(front_with()) as connection:
        connection.sendall(b"HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = receive_all(connection)
    assert b"Content-Length: 3\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_http_1_0_closes_after_the_answer(front_with):
    with connected(front_with()) as connection:
        connection.sendall(b"GET /old HTTP/1.0\r\n\r\n")
        assert receive_all(connection).endswith(b"/old|")


def test_a_peer_that_stopped_sending_still_gets_its_answer(front_with):
    echo = Echo()
    with connected(front_with(echo=echo)) as connection:
        connection.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        assert echo.entered.wait(20)
        connection.shutdown(socket.SHUT_WR)
        echo.let_go()
        assert receive_all(connection).endswith(b"/hold|")


@pytest.mark.parametrize("sent", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: a\r\n"])
def test_sv_12_a_peer_that_sends_no_whole_head_is_cut_off(front_with, sent):
    front = front_with(headers_s=0.2)
    with connected(front) as connection:
        connection.sendall(sent)
        answer, body = response(connection)
        assert answer.status == 408
        assert "in time" in json.loads(body)["error"]


def test_sv_12_a_peer_that_trickles_its_body_is_cut_off(front_with):
    front = front_with(headers_s=0.1, body_s=0.2)
    with connected(front) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n")
        began, answer = time.monotonic(), b""
        connection.settimeout(0.02)
        while not answer:
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(1000)
            with contextlib.suppress(OSError):
                connection.sendall(b"x")
            assert time.monotonic() - began < 20
    assert answer.startswith(b"HTTP/1.1 408")


def test_an_idle_connection_is_closed_without_a_word(front_with):
    front = front_with(idle_s=0.2)
    with connected(front) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert response(connection)[1] == b"/x|"
        assert connection.recv(1) == b""


def test_sv_12_a_peer_that_does_not_read_is_cut_off(front_with):
    front = front_with(write_s=0.2, bytes_per_second=10**9)
    with connected(front) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        began = time.monotonic()
        while front.connections or not front.answer.seen:
            time.sleep(0.01)
            assert time.monotonic() - began < 20
    assert front.answer.seen == [b"/large"]


def test_a_peer_that_leaves_gives_up_its_run(front_with):
    gave_up = threading.Event()

    async def answer(request):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            gave_up.set()
            raise

    front = front_with(echo=answer)
    with connected(front) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        while not front.connections:
            time.sleep(0.01)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert gave_up.wait(20)


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"junk\r\n\r\n", b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n"]
)
def test_sv_12_after_hostile_bytes_the_next_connection_is_served(front_with, sent):
    front = front_with()
    with connected(front) as connection:
        connection.sendall(sent)
        assert receive_all(connection).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    with connected(front) as connection:
        connection.sendall(b"GET /fine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert receive_all(connection).endswith(b"/fine|")


def test_sv_17_drain_finishes_what_arrived_and_closes_what_is_idle(front_with, on_loop):
    echo = Echo()
    front = front_with(echo=echo)
    with connected(front) as idle, connected(front) as busy:
        idle.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        response(idle)
        busy.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        assert echo.entered.wait(20)
        stopping = threading.Thread(target=on_loop, args=(front.stop(20),))
        stopping.start()
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError), connected(front):
            pass
        echo.let_go()
        answer, body = response(busy)
        assert body == b"/hold|"
        assert answer.getheader("Connection") == "close"
        assert busy.recv(1) == b""
        stopping.join(20)
        assert not stopping.is_alive()


def test_sv_17_drain_ends_even_when_a_request_does_not(front_with, on_loop):
    echo = Echo()
    front = front_with(echo=echo)
    with connected(front) as busy:
        busy.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        assert echo.entered.wait(20)
        on_loop(front.stop(0.1))
        assert receive_all(busy) == b""


def test_fronts_share_a_port_where_they_are_told_to(front_with, on_loop):
    first = front_with(shared=True)

    async def beside():
        second = RestFront(Echo(), RestSettings(max_body_bytes=10))
        port = await second.start("127.0.0.1", first.port, None, shared=True)
        await second.stop(1)
        return port

    assert on_loop(beside()) == first.port


def test_a_port_in_use_is_named(front_with, on_loop):
    first = front_with()

    async def beside():
        await RestFront(Echo(), RestSettings(max_body_bytes=10)).start("127.0.0.1", first.port, None, shared=False)

    with pytest.raises(OSError, match=f"127.0.0.1:{first.port}: another program is using it"):
        on_loop(beside())


def over_tls(front, context):
    with connected(front) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        tls.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return receive_all(tls)


def test_tls_serves_whoever_has_a_client_certificate(front_with, tls_files, client_context):
    front = front_with(context=ServerTls(tls_files.mutual).context(), accepts=client_check())
    assert over_tls(front, client_context(tls_files.client)).endswith(b"/x|")


def test_one_way_tls_serves_everybody(front_with, tls_files, client_context):
    front = front_with(context=ServerTls(tls_files.one_way).context())
    assert over_tls(front, client_context()).endswith(b"/x|")


@pytest.mark.parametrize("who", ["nobody", "stranger", "server"])
def test_sv_15_others_are_refused(front_with, tls_files, client_context, who):
    echo = Echo()
    front = front_with(context=ServerTls(tls_files.mutual).context(), accepts=client_check(), echo=echo)
    shown = {"nobody": None, "stranger": tls_files.stranger, "server": tls_files.server}[who]
    with contextlib.suppress(OSError):  # an alert, or a connection that is simply gone
        assert b"/x" not in over_tls(front, client_context(shown))
    assert echo.seen == []
    assert over_tls(front, client_context(tls_files.client)).endswith(b"/x|")


def test_sv_15_a_client_certificate_without_the_usage_is_told_so(front_with, tls_files, client_context, roleless):
    echo = Echo()
    front = front_with(context=ServerTls(tls_files.mutual).context(), accepts=client_check(), echo=echo)
    answer = over_tls(front, client_context(roleless))
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"clientAuth" in answer
    assert echo.seen == []


def test_sv_01_a_tls_port_does_not_answer_in_clear(front_with, tls_files):
    front = front_with(context=ServerTls(tls_files.one_way).context())
    with connected(front) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP" not in receive_all(connection)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(front_with, tls_files, client_context, version):
    front = front_with(context=ServerTls(tls_files.one_way).context())
    context = client_context()
    context.minimum_version = context.maximum_version = version
    assert over_tls(front, context).endswith(b"/x|")


def test_tls_1_1_is_not_spoken(front_with, tls_files, client_context):
    front = front_with(context=ServerTls(tls_files.one_way).context())
    context = client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        over_tls(front, context)


def test_a_peer_that_does_not_shake_hands_is_cut_off(front_with, tls_files):
    front = front_with(context=ServerTls(tls_files.one_way).context(), handshake_s=0.2)
    with connected(front) as connection:
        assert receive_all(connection) == b""
