"""The fast front end over real sockets: what is spoken, hostile peers, slow peers, age, drain, memory."""

import contextlib
import gc
import http.client
import resource
import socket
import struct
import threading
import time
import weakref
from types import SimpleNamespace

import grpc
import h2.connection
import h2.events
import pytest

from strongroom.pki.client_usage import client_check
from strongroom.serving.fronts import connection_age
from strongroom.serving.fronts.connection_age import Lifetime
from strongroom.serving.fronts.fast_front import HTTP1, HTTP2, speaking
from strongroom.serving.fronts.front import Front, Patience
from strongroom.serving.fronts.http2_front import Offer
from strongroom.serving.fronts.rest_front import Answer
from strongroom.serving.http2 import PREFACE, SessionSettings
from strongroom.serving.tls import ServerTls

ECHO, HOLD, LARGE, COUNT = (f"/test.Service/{name}" for name in ("Echo", "Hold", "Large", "Count"))
LARGE_BYTES = 16 * 1024 * 1024
LIMIT_S = 20


class Service:
    """Echo answers with its request; Hold waits for the test; Large and Count answer with many and few bytes."""

    def __init__(self):
        self.entered, self.held, self.cancelled, self.served = threading.Event(), [], threading.Event(), 0

    @property
    def methods(self):
        return {ECHO: self.echo, HOLD: self.hold, LARGE: self.large, COUNT: self.count}

    def echo(self, request, deadline, reply):
        self.served += 1
        reply(bytes(request))

    def count(self, request, deadline, reply):
        reply(str(len(request)).encode())

    def large(self, request, deadline, reply):
        reply(bytes(LARGE_BYTES))

    def hold(self, request, deadline, reply):
        self.held.append(reply)
        self.entered.set()
        return SimpleNamespace(cancel=self.cancelled.set)

    async def rest(self, request):
        if request.target == b"/large":
            return Answer(200, bytes(LARGE_BYTES))
        return Answer(200, request.method.encode() + b" " + request.target + b" " + request.body, "text/plain")


@pytest.fixture
def front_with(on_loop):
    """Start fronts on free ports; they are stopped with the test."""
    started = []

    async def start(
        *, tls=None, rest=True, grpc=True, limits=None, lifetime=None, settings=None, accepts=None, **patience
    ):
        service = Service()
        made = SessionSettings(**{"max_body_bytes": 16 * 1024 * 1024, **(settings or {})})
        offer = Offer(
            methods=service.methods, rest=service.rest if rest else None, settings=made,
            max_message_bytes=made.max_body_bytes, lifetime=lifetime or Lifetime(),
        )  # fmt: skip
        front = Front(
            speaking(offer, max_body_bytes=made.max_body_bytes), Patience(**patience), accepts=accepts, **(limits or {})
        )
        context = None if tls is None else tls.context([HTTP2, HTTP1])
        front.port = await front.listen("127.0.0.1", 0, context)
        front.service = service
        started.append(front)
        return front

    yield lambda **words: on_loop(start(**words))

    async def stop():
        for front in started:
            await front.stop(1)

    on_loop(stop())


class Peer:
    """An HTTP/2 client by hand."""

    def __init__(self, port, context=None, window=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        if window is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        if context is not None:
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.h2, self.events, self.over = h2.connection.H2Connection(), [], False
        opened, goaway = h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY
        machine = self.h2.state_machine  # h2 takes a GOAWAY for the end; RFC 9113 section 6.8 lets streams finish
        machine._transitions = {**machine._transitions, (opened, goaway): (None, opened)}
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(self, stream=1, path=ECHO, body=b"", *, end=True, **headers):
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"), ("te", "trailers"),
                  ("content-type", headers.pop("content_type", "application/grpc"))]  # fmt: skip
        self.h2.send_headers(stream, fields)
        self.h2.send_data(stream, struct.pack(">BI", 0, len(body)) + body, end_stream=end)
        self.flush()

    def until(self, kind, stream=None):
        """Return the next event of a kind; None when the connection ends."""
        while True:
            for index, event in enumerate(self.events):
                if isinstance(event, kind) and stream in {None, getattr(event, "stream_id", None)}:
                    del self.events[: index + 1]
                    return event
            if self.over:
                return None
            self.events.clear()
            self._receive()

    @property
    def answered(self):
        return any(isinstance(event, h2.events.ResponseReceived) for event in self.events)

    def status(self, stream=1):
        """Return the gRPC status of an answer."""
        found = self.until((h2.events.TrailersReceived, h2.events.ResponseReceived), stream)
        while found is not None and b"grpc-status" not in dict(found.headers):
            found = self.until((h2.events.TrailersReceived, h2.events.ResponseReceived), stream)
        return None if found is None else int(dict(found.headers)[b"grpc-status"])

    def _receive(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.over = True
            return
        self.events += self.h2.receive_data(data)
        with contextlib.suppress(OSError):
            self.flush()


def received(connection):
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def connected(front):
    return socket.create_connection(("127.0.0.1", front.port), timeout=LIMIT_S)


def still_serves(front, context=None):
    with Peer(front.port, context) as peer:
        peer.request(body=b"fine")
        assert peer.status() == 0


def eventually(condition):
    ends = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


# What is spoken.


def test_one_port_speaks_both_in_clear_text(front_with):
    front = front_with()
    still_serves(front)
    client = http.client.HTTPConnection("127.0.0.1", front.port, timeout=LIMIT_S)
    client.request("POST", "/v1/x", body=b"hello")
    assert client.getresponse().read() == b"POST /v1/x hello"
    client.close()


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)])
def test_one_port_speaks_what_alpn_settles(front_with, tls_files, client_context, offered, chosen):
    front, context = front_with(tls=ServerTls(tls_files.one_way)), client_context()
    if offered:
        context.set_alpn_protocols(offered)
    with connected(front) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == chosen
        if chosen == "h2":
            tls.sendall(PREFACE + b"\0\0\0\4\0\0\0\0\0")
            assert tls.recv(9)[3] == 4  # SETTINGS
        else:
            tls.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert received(tls).endswith(b"GET /x ")


def test_without_alpn_http_2_is_known_by_its_preface(front_with, tls_files, client_context):
    front = front_with(tls=ServerTls(tls_files.one_way))
    with connected(front) as plain, client_context().wrap_socket(plain, server_hostname="localhost") as tls:
        for byte in PREFACE:
            tls.sendall(bytes([byte]))
        tls.sendall(b"\0\0\0\4\0\0\0\0\0")
        assert tls.recv(9)[3] == 4


def test_rest_is_answered_over_http_2(front_with):
    front = front_with()
    with Peer(front.port) as peer:
        peer.request(path="/v1/x?y=1", content_type="application/json", body=b"hello")
        answer = peer.until(h2.events.ResponseReceived)
        assert dict(answer.headers)[b":status"] == b"200"
        assert dict(answer.headers)[b"content-type"] == b"text/plain"
        assert peer.until(h2.events.DataReceived).data == b"POST /v1/x?y=1 \0\0\0\0\x05hello"


def test_a_large_rest_answer_comes_whole_over_http_2(front_with):
    front, size = front_with(), 0
    with Peer(front.port) as peer:
        peer.request(path="/large", content_type="application/json")
        while size < LARGE_BYTES:
            part = peer.until(h2.events.DataReceived)
            size += len(part.data)
            peer.h2.acknowledge_received_data(part.flow_controlled_length, 1)
            peer.flush()


def test_a_port_for_grpc_alone_takes_no_rest(front_with):
    front = front_with(rest=False)
    with Peer(front.port) as peer:
        peer.request(path="/v1/x", content_type="application/json")
        assert dict(peer.until(h2.events.ResponseReceived).headers)[b":status"] == b"415"


def test_sv_15_a_peer_without_the_client_usage_is_refused_on_either_protocol(
    front_with, tls_files, client_context, roleless
):
    front = front_with(tls=ServerTls(tls_files.mutual), accepts=client_check())
    with Peer(front.port, client_context(roleless)) as peer:
        peer.request(1)
        assert peer.status(1) == 16
        peer.request(3, path="/v1/x", content_type="application/json")
        assert dict(peer.until(h2.events.ResponseReceived, 3).headers)[b":status"] == b"401"
    assert not front.service.served


# Hostile bytes.

GARBAGE = [b"", b"\0", b"PRI", PREFACE[:-1], PREFACE, PREFACE + b"\xff" * 100, PREFACE + b"\0" * 9,
           PREFACE + b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
           PREFACE + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\4\1\4\0\0\0\1\x82\x86\x84"]  # fmt: skip


@pytest.mark.parametrize("sent", GARBAGE)
@pytest.mark.parametrize(("secure", "rest"), [(False, False), (False, True), (True, False), (True, True)])
def test_sv_12_after_hostile_bytes_the_next_connection_is_served(  # noqa: PLR0917  # fixtures
    front_with, tls_files, client_context, sent, secure, rest
):
    tls = ServerTls(tls_files.one_way) if secure else None
    front = front_with(tls=tls, rest=rest, headers_s=0.2, body_s=0.2)
    context = client_context() if secure else None
    with connected(front) as plain, contextlib.ExitStack() as stack:
        peer = plain
        if context is not None:
            if not rest:
                context.set_alpn_protocols(["h2"])
            peer = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
        peer.sendall(sent)
        received(peer)  # it ends: with an answer, an error or none
    still_serves(front, client_context() if secure else None)
    eventually(lambda: not front.connections)


def test_sv_12_http_1_on_a_port_for_grpc_is_ended(front_with):
    front = front_with(rest=False)
    with connected(front) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP/1.1 200" not in received(peer)
    still_serves(front)


def test_an_upgrade_to_h2c_is_not_taken_up(front_with):
    front = front_with()
    with connected(front) as peer:
        peer.sendall(
            b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
        )
        answer = received(peer)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"101" not in answer


def test_sv_12_a_silent_peer_does_not_keep_its_handshake(front_with, tls_files):
    front = front_with(tls=ServerTls(tls_files.one_way), handshake_s=0.2)
    with connected(front) as peer:
        assert received(peer) == b""


def test_sv_01_a_tls_port_answers_nothing_in_clear(front_with, tls_files):
    front = front_with(tls=ServerTls(tls_files.one_way))
    for sent in (PREFACE + b"\0\0\0\4\0\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n"):
        with connected(front) as peer:
            peer.sendall(sent)
            answer = received(peer)
        assert b"HTTP" not in answer
        assert b"\0\0\0\4" not in answer


def test_sv_12_a_body_that_drips_is_refused(front_with):
    front = front_with(headers_s=0.1, body_s=0.2)
    with Peer(front.port) as peer:
        peer.request(body=b"", end=False)
        assert peer.status() == 4


def test_sv_12_a_reader_that_takes_nothing_is_cut_off(front_with):
    front = front_with(write_s=0.2)
    with Peer(front.port) as peer:
        peer.request(path=LARGE)  # its window is 64 KiB, and stays shut
        eventually(lambda: not front.connections)
    with Peer(front.port, window=4096) as peer:
        peer.h2.increment_flow_control_window(2**30)
        peer.request(path=LARGE)
        eventually(lambda: not front.connections)


def test_sv_12_a_killed_client_leaves_nothing(front_with):
    front = front_with()
    peer = Peer(front.port)
    peer.request(path=HOLD, body=bytes(1000))
    assert front.service.entered.wait(LIMIT_S)
    peer.request(3, body=bytes(10_000), end=False)
    eventually(lambda: front.memory.held_bytes >= 11_000)
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()
    assert front.service.cancelled.wait(LIMIT_S)
    eventually(lambda: not front.connections and not front.memory.held_bytes)


# Bounds.


def test_too_many_connections_make_the_idle_ones_go(front_with):
    front = front_with(limits={"max_connections": 3})
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(Peer(front.port))
        busy.request(path=HOLD)
        assert front.service.entered.wait(LIMIT_S)
        idle = [stack.enter_context(Peer(front.port)) for _ in range(2)]
        for peer in idle:
            peer.request()
            assert peer.status() == 0
        ends = time.monotonic() + LIMIT_S
        while True:  # the idle ones have to have been idle for a second
            try:
                still_serves(front)
                break
            except (AssertionError, OSError, h2.exceptions.ProtocolError):
                assert time.monotonic() < ends
        front.service.held[0](b"done")
        assert busy.status() == 0


def test_a_connection_counts_once_while_it_joins(front_with):
    front = front_with(limits={"max_connections": 2})
    joined, ends = front.joined, []

    def joined_and_another_arrives(connection):
        joined(connection)
        if not ends:
            there, here = socket.socketpair()
            ends.append(here)
            front._admit(there, None)

    front.joined = joined_and_another_arrives
    still_serves(front)
    with ends[0] as second:
        second.settimeout(LIMIT_S)
        second.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert second.recv(100)


def test_sv_12_bodies_of_all_connections_have_one_limit(front_with):
    limit, size, count = 4 * 1024 * 1024, 1024 * 1024, 24
    front = front_with(limits={"max_held_bytes": limit}, settings={"max_connection_body_bytes": limit})
    statuses, seen = [], []

    def ask():
        with Peer(front.port) as peer:
            fields = [(":method", "POST"), (":scheme", "http"), (":path", COUNT), (":authority", "a"),
                      ("te", "trailers"), ("content-type", "application/grpc")]  # fmt: skip
            peer.h2.send_headers(1, fields)
            body = memoryview(struct.pack(">BI", 0, size) + bytes(size))
            try:
                while body and not peer.over and not peer.answered:
                    room = min(peer.h2.local_flow_control_window(1), 16_000, len(body))
                    if room:
                        peer.h2.send_data(1, bytes(body[:room]), end_stream=room == len(body))
                        body = body[room:]
                        peer.flush()
                    else:
                        peer._receive()
            except (h2.exceptions.ProtocolError, OSError):
                pass  # refused while it sent
            statuses.append(peer.status())

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(front.memory.held_bytes)
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert max(seen) < limit + count * 256 * 1024
    assert set(statuses) <= {0, 8}
    assert 0 in statuses
    eventually(lambda: not front.memory.held_bytes)


def test_a_rest_body_is_refused_while_memory_is_short(front_with):
    front = front_with(limits={"max_held_bytes": 10_000})
    with Peer(front.port) as holder, connected(front) as peer:
        holder.request(path=HOLD, body=bytes(12_000))
        assert front.service.entered.wait(LIMIT_S)
        peer.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n123")
        assert received(peer).startswith(b"HTTP/1.1 429 ")
        with Peer(front.port) as other:
            other.request(body=b"x")
            assert other.status() == 8
            other.request(3, path="/x", content_type="application/json")
            assert dict(other.until(h2.events.ResponseReceived, 3).headers)[b":status"] == b"429"
        front.service.held[0](b"")
        assert holder.status() == 0
    still_serves(front)


def test_sv_12_answers_that_nobody_takes_have_the_same_limit(front_with):
    front = front_with(limits={"max_held_bytes": LARGE_BYTES + 1000})
    with Peer(front.port) as peer:  # its windows are 64 KiB, and stay shut
        for stream in (1, 3):
            peer.request(stream, path=LARGE)
        for stream in range(5, 21, 2):
            peer.request(stream, path=LARGE)
            assert peer.status(stream) == 8
        assert front.memory.held_bytes < 3 * LARGE_BYTES
        with connected(front) as other:
            other.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            assert other.recv(100).startswith(b"HTTP/1.1 429 ")
    eventually(lambda: not front.memory.held_bytes)
    still_serves(front)


def test_sv_12_who_fills_the_memory_with_untaken_answers_is_cut_off_and_others_are_served(front_with):
    front = front_with(limits={"max_held_bytes": LARGE_BYTES // 2}, headers_s=0.4)
    with Peer(front.port) as greedy:  # as above
        greedy.request(path=LARGE)
        eventually(lambda: front.memory.held_bytes > LARGE_BYTES // 2)
        eventually(lambda: not front.memory.held_bytes)  # long before its patience ends
        still_serves(front)


def test_sv_12_answers_that_are_not_taken_over_http_1_count_too(front_with):
    front = front_with()
    with connected(front) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(lambda: front.memory.held_bytes > LARGE_BYTES // 4)
    eventually(lambda: not front.memory.held_bytes)


def test_what_a_lost_connection_held_is_freed_without_a_collection(front_with):
    front = front_with()
    with Peer(front.port) as peer:
        peer.request(path=LARGE)
        peer.request(3, path=HOLD)
        assert front.service.entered.wait(LIMIT_S)
        ((connection,), front.service.held) = front.connections, []
        spoken = weakref.ref(connection._speaker)
        gc.disable()
    try:
        eventually(lambda: spoken() is None)
    finally:
        gc.enable()


def test_arguments_of_grpc_bound_a_connections_life():
    lifetime = Lifetime.of(
        {"grpc.max_connection_age_ms": 60_000, "grpc.max_connection_age_grace_ms": 5_000,
         "grpc.max_connection_idle_ms": 2**31 - 1, "grpc.keepalive_time_ms": 1000, "grpc.keepalive_timeout_ms": "x"}
    )  # fmt: skip
    assert (lifetime.max_age_s, lifetime.age_grace_s, lifetime.max_idle_s) == (60, 5, float("inf"))
    assert (lifetime.keepalive_s, lifetime.keepalive_timeout_s) == (1, 20)


# The life of a connection.


def test_a_connection_of_age_is_drained_and_keeps_its_calls(front_with):
    front = front_with(lifetime=Lifetime(max_age_s=0.1), headers_s=0.4)
    with Peer(front.port) as peer:
        peer.request(path=HOLD)
        first = peer.until(h2.events.ConnectionTerminated)
        assert first.error_code == 0
        peer.until(h2.events.ConnectionTerminated)
        front.service.held[0](b"late")
        assert peer.status() == 0
        assert peer.until(h2.events.ConnectionTerminated) is None


def test_a_connection_beyond_its_grace_is_ended(front_with):
    front = front_with(lifetime=Lifetime(max_age_s=0.1, age_grace_s=0.3), headers_s=0.4)
    with Peer(front.port) as peer:
        peer.request(path=HOLD)
        eventually(lambda: not front.connections)
    assert front.service.cancelled.wait(LIMIT_S)


def test_an_idle_connection_is_told_to_go(front_with):
    front = front_with(lifetime=Lifetime(max_idle_s=0.2), headers_s=0.4)
    with Peer(front.port) as peer:
        peer.request()
        assert peer.status() == 0
        assert peer.until(h2.events.ConnectionTerminated).error_code == 0
        eventually(lambda: not front.connections)


def test_a_peer_that_gives_no_sign_of_life_is_cut_off(front_with):
    front = front_with(lifetime=Lifetime(keepalive_s=0.2, keepalive_timeout_s=2), headers_s=0.4)
    with Peer(front.port) as alive, Peer(front.port) as dead:
        for peer in (alive, dead):
            peer.request(path=HOLD)
        eventually(lambda: len(front.connections) == 2)
        while len(front.connections) == 2:
            assert alive.until(h2.events.PingReceived) is not None  # h2 answers by itself
        assert not alive.over


def test_a_peer_that_answered_its_ping_is_asked_again_however_late_the_sweep():
    """A busy server looks at its connections late: by then, a peer that answered is silent once more."""
    said = []
    connection = SimpleNamespace(
        since=0.0, heard=0.0, unsent_bytes=0, abort=lambda: said.append("abort"),
        front=SimpleNamespace(patience=Patience()),
    )  # fmt: skip
    session = SimpleNamespace(
        ping=lambda: said.append("ping"),
        greeted=True,
        open_streams=1,
        unsent_bytes=0,
        pending_body_bytes=0,
        arriving=False,
    )
    ageing = connection_age.Ageing(connection, session, Lifetime(keepalive_s=1, keepalive_timeout_s=5))
    for now in (2.0, 4.0, 6.0, 8.0):  # each a second later than the peer's answer counts for
        ageing.sweep(now)
        connection.heard = now + 0.01
    assert said == ["ping"] * 4
    ageing.sweep(10.0)
    connection.heard = 8.0  # silent from here on
    ageing.sweep(14.9)
    assert said == ["ping"] * 5
    ageing.sweep(15.0)
    assert said == [*["ping"] * 5, "abort"]


def test_sv_17_drain_finishes_what_was_accepted_and_takes_what_was_on_its_way(front_with, on_loop, monkeypatch):
    monkeypatch.setattr(connection_age, "ROUND_TRIP_S", 2)  # a busy host may hold this peer up for longer than 0.25 s
    front = front_with()
    with Peer(front.port) as busy, Peer(front.port) as idle:
        idle.request()
        assert idle.status() == 0
        busy.request(path=HOLD)
        assert front.service.entered.wait(LIMIT_S)
        stopping = threading.Thread(target=on_loop, args=(front.stop(LIMIT_S),))
        stopping.start()
        assert busy.until(h2.events.ConnectionTerminated).last_stream_id == 2**31 - 1
        busy.request(3, body=b"on its way")
        assert busy.status(3) == 0
        with pytest.raises(ConnectionRefusedError):
            connected(front)
        front.service.held[0](b"late")
        assert busy.status(1) == 0
        assert received(idle.socket) is not None
        stopping.join(LIMIT_S)
        assert not stopping.is_alive()


def test_sv_17_drain_ends_even_when_a_call_does_not(front_with, on_loop):
    front = front_with()
    with Peer(front.port) as busy:
        busy.request(path=HOLD)
        assert front.service.entered.wait(LIMIT_S)
        on_loop(front.stop(0.1))
        assert busy.status() is None
    assert front.service.cancelled.is_set()


def test_sv_17_a_grpc_client_sees_no_failure_in_a_drain(front_with, on_loop):
    front, other = front_with(rest=False), front_with(rest=False)
    failures, stop = [], threading.Event()

    def ask():
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"ipv4:127.0.0.1:{front.port},127.0.0.1:{other.port}", options=options) as channel:
            call = channel.unary_unary(ECHO)
            while not stop.is_set():
                try:
                    call(b"x", timeout=LIMIT_S)
                except grpc.RpcError as problem:
                    failures.append(problem)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: front.service.served > 200)
    on_loop(front.stop(LIMIT_S))
    before = other.service.served
    eventually(lambda: other.service.served > before + 200)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_many_requests_leave_no_memory_behind(front_with):
    front = front_with()
    with grpc.insecure_channel(f"127.0.0.1:{front.port}", [("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.unary_unary(ECHO)
        for _ in range(20):
            assert len(call(bytes(1_000_000), timeout=LIMIT_S)) == 1_000_000
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(60):
            call(bytes(1_000_000), timeout=LIMIT_S)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB
    eventually(lambda: not front.memory.held_bytes)


def test_a_unix_socket_of_a_dead_server_is_replaced_and_a_living_one_is_not(on_loop, tmp_path):
    path = str(tmp_path / "grpc.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    service = Service()
    offer = Offer(methods=service.methods, max_message_bytes=1000, settings=SessionSettings(), lifetime=Lifetime())

    async def start():
        front = Front(speaking(offer, max_body_bytes=1000), Patience())
        front.listen_unix(path, None)
        return front

    front = on_loop(start())
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert channel.unary_unary(ECHO)(b"hello", timeout=LIMIT_S) == b"hello"
    with pytest.raises(OSError, match="another program is using it"):
        on_loop(start())
    on_loop(front.stop(1))
    assert not (tmp_path / "grpc.sock").exists()
