"""One suite for every HTTP/2 session: compiled, and by cffi. Ordered as RFC 9113 (and h2spec) is; then limits.

Threats: SV-12 (bad input cannot crash or starve), SV-13 (cheap checks first), SV-17 (drain).
"""

import gc
import importlib.util
import struct
import sys
import tracemalloc
import weakref
from dataclasses import replace
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from strongroom.serving.http2 import (
    PREFACE,
    Cancelled,
    ConnectionFailed,
    Data,
    Ended,
    Framing,
    GoneAway,
    Opened,
    Request,
    SessionSettings,
    implementations,
    open_session,
)
from strongroom.serving.http2.base import ErrorCode

_spec = importlib.util.spec_from_file_location("strongroom_tests_http2_peer", Path(__file__).with_name("http2_peer.py"))
wire = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wire)

frame, message, Peer = wire.frame, wire.message, wire.Peer
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = wire.DATA, wire.HEADERS, wire.PRIORITY, wire.RST_STREAM, wire.SETTINGS
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = wire.PUSH_PROMISE, wire.PING, wire.GOAWAY, wire.WINDOW_UPDATE
CONTINUATION, END_STREAM, END_HEADERS = wire.CONTINUATION, wire.END_STREAM, wire.END_HEADERS
GRPC, POST = wire.GRPC, wire.POST
WATCH = tuple((":path", "/watch") if name == ":path" else (name, value) for name, value in GRPC)

SMALL = SessionSettings(
    max_concurrent_streams=10,
    max_header_list_bytes=2000,
    max_header_count=20,
    max_body_bytes=100_000,
    max_connection_body_bytes=300_000,
    initial_window=70_000,
    connection_window=140_000,
    max_frame_size=16_384,
    reset_burst=20,
    resets_per_s=10.0,
    control_burst=50,
    controls_per_s=10.0,
    streaming_paths=frozenset({"/watch"}),
)


@pytest.fixture(params=["compiled", "cffi"])
def implementation(request):
    if request.param not in implementations():
        pytest.skip(f"{request.param} is not built here")
    return request.param


@pytest.fixture
def peer(implementation):
    return Peer(open_session(SMALL, implementation=implementation))


@pytest.fixture
def make(implementation):
    return lambda **changes: Peer(open_session(replace(SMALL, **changes), implementation=implementation))


def u32(number):
    return struct.pack(">I", number)


def failed(peer, code, *parts):
    """Assert that the connection ends with this error."""
    peer.say(*parts)
    (event,) = [event for event in peer.events if type(event) is ConnectionFailed]
    assert (event.error_code, peer.goaway()) == (code, code)
    assert peer.session.ended
    assert peer.say(PREFACE) == []
    return event


def malformed(peer, stream, *parts, code=ErrorCode.PROTOCOL_ERROR):
    """Assert that the stream ends with this error, is not handed out, and that the connection lives."""
    events = peer.say(*parts)
    assert not [event for event in events if type(event) is Request]
    assert peer.resets() == {stream: code}
    assert peer.request(stream + 100).body == b"abc"


# A whole conversation, with clients of others.


def client():
    config = h2.config.H2Configuration(client_side=True, header_encoding=None)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    return connection


def test_h2_hears_a_reply_with_trailers(implementation):
    session, peer = open_session(SMALL, implementation=implementation), client()
    peer.send_headers(1, GRPC)
    peer.send_data(1, message(b"hello"), end_stream=True)
    (request,) = session.receive(peer.data_to_send(), 0.0)
    assert request[:3] == (1, "POST", "/s/m")
    assert request.headers == ((b"host", b"host"), (b"content-type", b"application/grpc"), (b"te", b"trailers"))
    assert (request.body, request.framing) == (b"hello", Framing.MESSAGE)
    session.grpc_reply(1, b"world")
    events = peer.receive_data(session.send(1 << 20))
    heard = {type(event): event for event in events}
    assert dict(heard[h2.events.ResponseReceived].headers) == {b":status": b"200", b"content-type": b"application/grpc"}
    assert heard[h2.events.DataReceived].data == message(b"world")
    assert dict(heard[h2.events.TrailersReceived].headers) == {b"grpc-status": b"0"}
    assert (session.open_streams, session.pending_body_bytes, session.unsent_bytes) == (0, 0, 0)


def test_h2_sends_and_gets_large_bodies_through_small_windows(implementation):
    session, peer = open_session(SMALL, implementation=implementation), client()
    body, got, sent = bytes(range(256)) * 390, b"", 0
    session.receive(peer.data_to_send(), 0.0)
    peer.receive_data(session.send(1 << 20))
    peer.send_headers(1, POST)
    while not got or len(got) < len(body):
        if sent < len(body):
            size = min(peer.local_flow_control_window(1), peer.max_outbound_frame_size, len(body) - sent)
            peer.send_data(1, body[sent : sent + size], end_stream=sent + size == len(body))
            sent += size
        for event in session.receive(peer.data_to_send(), 0.0):
            assert event.body == body
            session.respond(1, 200, ((b"x-a", b"b"),), memoryview(event.body))
        for event in peer.receive_data(session.send(10_000)):
            if type(event) is h2.events.DataReceived:
                got += event.data
                peer.acknowledge_received_data(event.flow_controlled_length, 1)
    assert got == body
    assert session.unsent_bytes == 0


def test_equal_headers_are_the_same_object(peer):
    first, second = peer.request(1), peer.request(3)
    third = peer.request(5, headers=(*GRPC, ("grpc-timeout", "5S")))
    assert second.headers is first.headers
    assert third.headers == (*first.headers, (b"grpc-timeout", b"5S"))


def test_a_request_without_a_body(peer):
    (event,) = peer.say(peer.headers(1, [(":method", "GET"), *POST[1:]], end=True))
    assert (event.method, event.body, event.framing) == ("GET", b"", Framing.HTTP)


def test_content_types_of_grpc(peer):
    kinds = {"application/grpc+proto": 1, "application/grpc;x=y": 1, "application/grpc-web": 0, "application/json": 0}
    for stream, (kind, framing) in zip((1, 3, 5, 7), kinds.items(), strict=True):
        event = peer.request(stream, headers=(*POST, ("content-type", kind)))
        assert event.framing == framing
        assert event.body == (b"abc" if framing else message(b"abc"))


@pytest.mark.parametrize("body", [b"", b"\0", message(b"abc")[:-1], message(b"abc") + b"x", message(b"a") * 2,
                                  message(b"abc", flag=2), message(b"", length=5)])  # fmt: skip
def test_sv_12_broken_framing_is_told_without_its_bytes(peer, body):
    (event,) = peer.say(peer.headers(1, GRPC), frame(DATA, END_STREAM, 1, body))
    assert (event.body, event.framing) == (b"", Framing.BROKEN)
    assert peer.session.pending_body_bytes == 0


def test_compressed_messages_say_so(peer):
    (event,) = peer.say(peer.headers(1, GRPC), frame(DATA, END_STREAM, 1, message(b"zip", flag=1)))
    assert (event.body, event.framing) == (b"zip", Framing.COMPRESSED)


def test_a_failure_is_trailers_alone(peer):
    peer.request(1)
    peer.session.grpc_fail(1, 5, "not found: 100 % é\n")
    ((headers,), body, ended, reset) = peer.answers()[1]
    assert dict(headers)["grpc-status"] == "5"
    assert dict(headers)["grpc-message"] == "not found: 100 %25 %C3%A9%0A"
    assert (dict(headers)["content-type"], body, ended, reset) == ("application/grpc", b"", True, None)


def test_answers_to_nobody_are_dropped(peer):
    session = peer.session
    for stream in (0, -1, 1, 2**31, 2**40, 2**70):
        session.respond(stream, 200, (), b"x")
        session.grpc_reply(stream, b"x")
        session.grpc_fail(stream, 1, "x")
        session.begin_stream(stream)
        session.write(stream, b"x")
        session.finish(stream, 0, "")
        session.reset(stream, 8)
    peer.request(1)
    session.grpc_reply(1, b"one")
    session.grpc_reply(1, b"two")
    session.grpc_fail(1, 5, "three")
    assert peer.answers()[1][1] == message(b"one")


def test_head_has_no_body(peer):
    peer.say(peer.headers(1, [(":method", "HEAD"), *POST[1:]], end=True))
    peer.session.respond(1, 200, ((b"content-length", b"5"),), b"hello")
    ((headers,), body, ended, _) = peer.answers()[1]
    assert (dict(headers)["content-length"], body, ended) == ("5", b"", True)


def test_connect_is_refused(peer):
    assert peer.say(peer.headers(1, [(":method", "CONNECT"), (":authority", "x:1")])) == []
    ((headers,), _, ended, reset) = peer.answers()[1]
    assert (dict(headers)[":status"], ended, reset) == ("405", True, 0)


# Streams of several messages.


def test_a_stream_of_messages_both_ways(peer):
    opened, data, ended = peer.say(peer.headers(1, WATCH), frame(DATA, END_STREAM, 1, message(b"a")))
    assert (type(opened), opened.path, data, ended) == (Opened, "/watch", Data(1, message(b"a")), Ended(1))
    session = peer.session
    session.begin_stream(1)
    assert peer.answers()[1][1:] == (b"", False, None)
    for text in (b"one", b"", b"two" * 10_000):
        session.write(1, text)
        assert peer.answers()[1][1] == message(text)
    session.finish(1, 0, "")
    ((trailers,), _, end, _) = peer.answers()[1]
    assert (dict(trailers), end, session.open_streams) == ({"grpc-status": "0"}, True, 0)


def test_a_begun_stream_can_fail(peer):
    peer.say(peer.headers(1, WATCH))
    peer.session.begin_stream(1)
    peer.session.write(1, b"one")
    peer.session.grpc_fail(1, 14, "going away")
    ((_, trailers), body, ended, reset) = peer.answers()[1]
    assert (body, dict(trailers)) == (message(b"one"), {"grpc-status": "14", "grpc-message": "going away"})
    assert (ended, reset) == (True, 0)  # the peer had not ended: it need not go on, RFC 9113 section 8.1


def test_a_watcher_that_goes_is_told_of(peer):
    peer.say(peer.headers(1, WATCH))
    peer.session.begin_stream(1)
    assert peer.say(frame(RST_STREAM, 0, 1, u32(8))) == [Cancelled(1, 8)]
    peer.session.write(1, b"late")
    assert peer.answers() == {}


def test_sv_12_an_opened_stream_has_the_bodys_limit_too(make):
    peer = make(max_body_bytes=20)
    events = peer.say(peer.headers(1, WATCH), frame(DATA, 0, 1, bytes(15)), frame(DATA, 0, 1, bytes(15)))
    assert [type(event) for event in events] == [Opened, Data, Cancelled]
    assert dict(peer.answers()[1][0][0])["grpc-status"] == "8"


# RFC 9113 section 3: starting.


@pytest.mark.parametrize(
    "opening", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", b"\x16\x03\x01"]
)
def test_3_4_an_invalid_preface_ends_the_connection(implementation, opening):
    failed(Peer(open_session(SMALL, implementation=implementation), greet=False), ErrorCode.PROTOCOL_ERROR, opening)


def test_3_4_settings_come_first(implementation):
    peer = Peer(open_session(SMALL, implementation=implementation), greet=False)
    peer.listen()
    failed(peer, ErrorCode.PROTOCOL_ERROR, PREFACE + frame(PING, 0, 0, bytes(8)))
    assert not peer.session.greeted


def test_the_servers_settings_announce_its_limits(implementation):
    peer = Peer(open_session(SMALL, implementation=implementation), greet=False)
    first, window = peer.listen()
    announced = dict(struct.iter_unpack(">HI", first.payload))
    assert first.kind == SETTINGS
    assert announced == {3: 10, 4: 70_000, 5: 16_384, 6: 2000, 9: 1}
    assert (window.kind, window.stream, window.payload) == (WINDOW_UPDATE, 0, u32(140_000 - 65_535))
    assert not peer.session.greeted
    peer.say(PREFACE + wire.settings())
    assert peer.session.greeted
    assert peer.listen() == [(SETTINGS, wire.ACK, 0, b"")]


# Section 4: frames.


def test_4_1_unknown_frames_are_ignored(peer):
    peer.say(frame(0x2A, 0xFF, 0, b"what"), frame(0x2A, 0, 1, b""))
    peer.request(1)


def test_4_1_reserved_bits_are_ignored(peer):
    peer.say(frame(PING, 0, 1 << 31, b"12345678"))
    assert peer.listen() == [(PING, wire.ACK, 0, b"12345678")]


@pytest.mark.parametrize("kind", [DATA, HEADERS, SETTINGS])
def test_4_2_frames_that_are_too_large_end_the_connection(peer, kind):
    peer.say(peer.headers(1, POST))
    failed(peer, ErrorCode.FRAME_SIZE_ERROR, frame(kind, 0, 0 if kind == SETTINGS else 1, length=16_385))


def test_4_3_a_broken_header_block_ends_the_connection(peer):
    failed(peer, ErrorCode.COMPRESSION_ERROR, frame(HEADERS, 5, 1, b"\x80"))


@pytest.mark.parametrize("between", [frame(PRIORITY, 0, 1, bytes(5)), frame(0x2A, 0, 0), frame(HEADERS, 5, 3, b"\x82"),
                                     frame(CONTINUATION, 4, 3), frame(PING, 0, 0, bytes(8))])  # fmt: skip
def test_4_3_a_header_block_is_not_interrupted(peer, between):
    failed(peer, ErrorCode.PROTOCOL_ERROR, frame(HEADERS, 1, 1, peer.block(POST)), between)


# Section 5: streams.


@pytest.mark.parametrize(("kind", "payload"), [(DATA, b"x"), (RST_STREAM, bytes(4)), (WINDOW_UPDATE, u32(1))])
def test_5_1_idle_streams_take_only_headers(peer, kind, payload):
    failed(peer, ErrorCode.PROTOCOL_ERROR, frame(kind, 0, 1, payload))


def test_5_1_nothing_but_trifles_come_after_the_end(peer):
    peer.request(1)
    peer.say(frame(WINDOW_UPDATE, 0, 1, u32(1)), frame(PRIORITY, 0, 1, bytes(5)))
    assert peer.goaway() is None
    failed(peer, ErrorCode.STREAM_CLOSED, frame(DATA, 0, 1, b"x"))


def test_5_1_headers_after_the_end_are_an_error(peer):
    peer.request(1)
    peer.say(peer.headers(1, GRPC, end=True))
    assert [event for event in peer.events if type(event) in {ConnectionFailed, Cancelled}]


@pytest.mark.parametrize("stream", [2, 0])
def test_5_1_1_clients_use_odd_streams(peer, stream):
    failed(peer, ErrorCode.PROTOCOL_ERROR, peer.headers(stream, POST, end=True))


def test_5_1_1_streams_do_not_go_back(peer):
    peer.request(5)
    events = peer.say(peer.call(3))
    assert not [event for event in events if type(event) is Request]


def test_5_1_2_streams_beyond_the_limit_are_refused(peer):
    for stream in range(1, 21, 2):
        peer.request(stream)
    assert not [event for event in peer.say(peer.headers(21, GRPC)) if type(event) is Opened]
    refused = peer.listen()
    assert {frame.kind for frame in refused} & {RST_STREAM, GOAWAY}


def test_5_3_priorities_are_read_and_ignored(peer):
    dependent = frame(HEADERS, 5 | wire.PRIORITY_FLAG, 1, u32(0x8000_0000 | 3) + b"\x10" + peer.block(POST))
    (event,) = peer.say(frame(PRIORITY, 0, 9, u32(7) + b"\x01"), dependent)
    assert event.stream == 1


def test_5_4_1_an_error_of_the_connection_says_goaway_and_ends(peer):
    failed(peer, ErrorCode.PROTOCOL_ERROR, frame(PING, 0, 1, bytes(8)))


# Section 6: each frame.


@pytest.mark.parametrize("kind", [DATA, HEADERS, PRIORITY, RST_STREAM])
def test_6_streams_frames_need_a_stream(peer, kind):
    failed(peer, ErrorCode.PROTOCOL_ERROR, frame(kind, 5, 0, bytes(5 if kind != RST_STREAM else 4)))


@pytest.mark.parametrize(("kind", "payload"), [(SETTINGS, b""), (PING, bytes(8)), (GOAWAY, bytes(8))])
def test_6_the_connections_frames_have_no_stream(peer, kind, payload):
    failed(peer, ErrorCode.PROTOCOL_ERROR, frame(kind, 0, 1, payload))


WRONG_SIZES = [(RST_STREAM, 1, bytes(3)), (SETTINGS, 0, bytes(5)), (PING, 0, bytes(7)), (WINDOW_UPDATE, 0, bytes(3))]


@pytest.mark.parametrize(("kind", "stream", "payload"), WRONG_SIZES)
def test_6_frames_of_a_wrong_size_end_the_connection(peer, kind, stream, payload):
    peer.say(peer.headers(1, POST))
    failed(peer, ErrorCode.FRAME_SIZE_ERROR, frame(kind, 0, stream, payload))


def test_6_1_padding_is_taken_off_and_counted(peer):
    padded = b"\x05" + message(b"abc") + bytes(5)
    (event,) = peer.say(peer.headers(1, GRPC), frame(DATA, END_STREAM | wire.PADDED, 1, padded))
    assert event.body == b"abc"


def test_6_1_padding_longer_than_the_frame_ends_the_connection(peer):
    failed(peer, ErrorCode.PROTOCOL_ERROR, peer.headers(1, POST), frame(DATA, wire.PADDED, 1, b"\x09abc"))


def test_6_5_2_settings_have_ranges(make):
    for pair, code in [((2, 2), 1), ((4, 2**31), 3), ((5, 100), 1), ((5, 2**24), 1)]:
        failed(make(), code, wire.settings(pair))


def test_6_5_3_settings_are_acknowledged(peer):
    peer.say(wire.settings((4, 100), (0x99, 1)))
    assert peer.listen() == [(SETTINGS, wire.ACK, 0, b"")]


def test_6_5_acknowledgements_are_empty(peer):
    failed(peer, ErrorCode.FRAME_SIZE_ERROR, wire.settings((4, 1), flags=wire.ACK))


def test_6_6_clients_do_not_push(peer):
    failed(peer, ErrorCode.PROTOCOL_ERROR, frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + peer.block(POST)))


def test_6_7_pings_are_answered_and_sent(peer):
    peer.say(frame(PING, 0, 0, b"01234567"))
    peer.session.ping()
    assert peer.listen() == [(PING, wire.ACK, 0, b"01234567"), (PING, 0, 0, bytes(8))]
    assert peer.say(frame(PING, wire.ACK, 0, bytes(8))) == []


def test_6_8_the_peers_goaway_is_told(peer):
    peer.request(1)
    assert peer.say(frame(GOAWAY, 0, 0, u32(0) + u32(11) + b"too fast")) == [GoneAway(11, b"too fast")]
    assert not peer.session.ended
    peer.session.grpc_reply(1, b"x")
    peer.listen()
    assert peer.session.ended


def test_6_9_answers_wait_for_the_peers_windows(make):
    peer = make()
    peer.say(wire.settings((4, 10)))
    peer.request(1)
    peer.listen()
    peer.session.grpc_reply(1, b"0123456789")
    assert peer.answers()[1][1] == message(b"0123456789")[:10]
    assert (peer.session.unsent_bytes, peer.session.send(100)) == (5, b"")
    peer.say(frame(WINDOW_UPDATE, 0, 1, u32(2)))
    assert peer.answers()[1][1] == b"56"
    peer.say(wire.settings((4, 50)))
    assert (peer.answers()[1][1:3], peer.session.unsent_bytes) == ((b"789", True), 0)


@pytest.mark.parametrize("stream", [0, 1])
def test_6_9_a_zero_increment_is_an_error(peer, stream):
    peer.say(peer.headers(1, POST))
    peer.say(frame(WINDOW_UPDATE, 0, stream, u32(0)))
    assert ErrorCode.PROTOCOL_ERROR in {peer.goaway()} or peer.events


def test_6_9_1_windows_do_not_overflow(make):
    failed(make(), ErrorCode.FLOW_CONTROL_ERROR, frame(WINDOW_UPDATE, 0, 0, u32(2**31 - 1)))
    peer = make()
    malformed(peer, 1, peer.headers(1, POST), frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 1)), code=3)


def test_6_9_2_a_windows_change_may_not_overflow_streams(peer):
    peer.say(peer.headers(1, POST), frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 1 - 65_535)))
    peer.say(wire.settings((4, 65_536)))
    assert peer.resets() == {1: 3}  # RFC 9113 would end the connection, libnghttp2 ends the stream


def test_6_9_more_than_the_window_is_an_error(make):
    peer = make(initial_window=100)
    peer.say(wire.settings(flags=wire.ACK), peer.headers(1, POST), frame(DATA, 0, 1, bytes(101)))
    assert peer.resets() == {1: 3} or type(peer.events[-1]) is ConnectionFailed


def test_6_10_continuations_are_joined(peer):
    block = peer.block(GRPC)
    parts = [frame(CONTINUATION, 0, 1, block[i : i + 9]) for i in range(9, len(block), 9)]
    (event,) = peer.say(frame(HEADERS, END_STREAM, 1, block[:9]), *parts[:10], frame(CONTINUATION, END_HEADERS, 1))
    assert event.path == "/s/m"


def test_6_10_a_continuation_continues_something(peer):
    failed(peer, ErrorCode.PROTOCOL_ERROR, frame(CONTINUATION, END_HEADERS, 1, peer.block(POST)))


def test_7_unknown_error_codes_do_no_harm(peer):
    peer.request(1)
    assert peer.say(frame(RST_STREAM, 0, 1, u32(0xFFFF))) == [Cancelled(1, 0xFFFF)]


# Section 8: messages.


def without(name):
    return [field for field in POST if field[0] != name]


@pytest.mark.parametrize("headers", [
    without(":method"), without(":path"), without(":scheme"), [*POST, (":path", "/again")], [*POST, (":status", "200")],
    [*POST, (":what", "x")], [("a", "b"), *POST], [*without(":path"), (":path", "")], [*POST, ("connection", "close")],
    [*POST, ("transfer-encoding", "chunked")], [*POST, ("keep-alive", "1")], [*POST, ("proxy-connection", "x")],
    [*POST, ("upgrade", "h2c")], [*POST, ("te", "gzip")], [*POST, ("X-Upper", "case")], [*POST, ("", "empty")],
    [*POST, ("a b", "space")], [*POST, ("a", "line\r\nfeed")], [*POST, ("a", "\0")], [*POST, ("content-length", "x")],
    [*POST, ("content-length", "5")], [*POST, ("content-length", "1"), ("content-length", "2")],
])  # fmt: skip
def test_8_1_malformed_requests_are_not_handed_out(peer, headers):
    malformed(peer, 1, peer.headers(1, headers, end=True))


@pytest.mark.parametrize("length", ["2", "4"])
def test_8_1_1_a_body_has_its_content_length(peer, length):
    malformed(peer, 1, peer.headers(1, (*POST, ("content-length", length))), frame(DATA, END_STREAM, 1, b"abc"))


def test_8_1_trailers_end_a_request(peer):
    (event,) = peer.say(peer.headers(1, POST), frame(DATA, 0, 1, b"abc"), peer.headers(1, [("x", "y")], end=True))
    assert (event.body, event.headers) == (b"abc", ((b"host", b"host"),))


@pytest.mark.parametrize(("trailers", "end"), [([("x", "y")], False), ([(":path", "/")], True)])
def test_8_1_trailers_end_the_stream_and_have_no_pseudo_headers(peer, trailers, end):
    malformed(peer, 1, peer.headers(1, POST), frame(DATA, 0, 1, b"abc"), peer.headers(1, trailers, end=end))


def test_8_3_1_authority_comes_before_host(peer):
    (event,) = peer.say(peer.headers(1, [*POST, ("host", "other")], end=True))
    assert event.headers == ((b"host", b"host"),)


# RFC 7541.


BROKEN_BLOCKS = [
    b"\x80",  # index 0
    b"\xff\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # an integer without end
    b"\xc8",  # an index beyond the tables
    b"\x82\x3f\xe1\x1f",  # a change of the table's size after a field
    b"\x3f\xff\xff\xff\x0f",  # a table larger than allowed
    b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff",  # padding of more than seven bits
    b"\x00\x83\xff\xff\xff\x00",  # EOS in a string
]


@pytest.mark.parametrize("block", BROKEN_BLOCKS)
def test_hpack_errors_end_the_connection(peer, block):
    failed(peer, ErrorCode.COMPRESSION_ERROR, frame(HEADERS, 5, 1, block))


# Limits: SV-12, SV-13.


def test_sv_12_a_declared_length_is_refused_before_its_bytes_come(peer):
    assert peer.say(peer.headers(1, GRPC), frame(DATA, 0, 1, message(b"x", length=100_001))) == []
    ((headers,), _, ended, reset) = peer.answers()[1]
    assert (dict(headers)["grpc-status"], ended, reset) == ("8", True, 0)
    assert (peer.session.pending_body_bytes, peer.session.arriving, peer.session.open_streams) == (0, 0, 0)
    peer.request(3)


def test_sv_12_a_content_length_is_refused_before_its_bytes_come(peer):
    peer.say(peer.headers(1, (*POST, ("content-length", "100006"))))
    ((headers,), _, ended, reset) = peer.answers()[1]
    assert (dict(headers)[":status"], ended, reset) == ("413", True, 0)


def test_sv_12_a_body_without_a_length_ends_at_the_limit(peer):
    peer.say(peer.headers(1, POST), *[frame(DATA, 0, 1, bytes(16_384))] * 4)
    peer.listen()
    assert peer.session.pending_body_bytes == 4 * 16_384
    peer.say(*[frame(DATA, 0, 1, bytes(16_384))] * 3)
    assert dict(peer.answers()[1][0][0])[":status"] == "413"
    assert peer.session.pending_body_bytes == 0


def test_sv_12_a_body_of_exactly_the_limit_is_taken(make):
    peer = make(max_body_bytes=1000)
    assert len(peer.request(1, bytes(1000)).body) == 1000
    assert peer.say(peer.call(3, bytes(1001))) == []


@pytest.mark.parametrize("headers", [[("x", "y" * 2000)], [(f"x{i}", "") for i in range(20)]])
def test_sv_12_too_many_headers_are_answered(peer, headers):
    assert peer.say(peer.headers(1, [*GRPC, *headers], end=True), peer.headers(3, [*POST, *headers])) == []
    answers = peer.answers()
    assert dict(answers[1][0][0])["grpc-status"] == "8"
    assert (dict(answers[3][0][0])[":status"], answers[3][3]) == ("431", 0)
    assert peer.request(5).headers


def test_sv_12_trailers_have_the_headers_limits(peer):
    peer.say(peer.headers(1, GRPC), frame(DATA, 0, 1, message(b"abc")), peer.headers(1, [("x", "y" * 2000)], end=True))
    assert dict(peer.answers()[1][0][0])["grpc-status"] == "8"


def test_sv_12_an_hpack_bomb_ends_the_connection(peer):
    insert = b"\x40\x01a\x7f\xd9\x0e" + b"b" * 2000
    failed(peer, ErrorCode.ENHANCE_YOUR_CALM, frame(HEADERS, END_HEADERS, 1, insert + b"\xbe" * 10_000))


def test_sv_12_continuations_without_end_end_the_connection(peer):
    peer.say(frame(HEADERS, 0, 1, peer.block(POST)))
    failed(peer, ErrorCode.ENHANCE_YOUR_CALM, *[frame(CONTINUATION, 0, 1, b"") for _ in range(20)])


def test_sv_13_rapid_resets_end_the_connection(peer):
    for stream in range(1, 41, 2):
        assert [type(e) for e in peer.say(peer.call(stream), frame(RST_STREAM, 0, stream, u32(8)))] == [
            Request,
            Cancelled,
        ]
    event = failed(peer, ErrorCode.ENHANCE_YOUR_CALM, peer.call(41), frame(RST_STREAM, 0, 41, u32(8)))
    assert "reset" in event.reason


def test_sv_13_resets_in_their_time_are_fine(peer):
    for stream in range(1, 201, 2):
        peer.now += 0.2
        peer.say(peer.call(stream), frame(RST_STREAM, 0, stream, u32(8)))
    assert not [event for event in peer.events if type(event) is ConnectionFailed]


def test_sv_13_making_the_server_reset_costs_the_same(peer):
    """CVE-2025-8671: malformed frames on sound requests."""
    for stream in range(1, 43, 2):
        peer.say(peer.call(stream), frame(WINDOW_UPDATE, 0, stream, u32(2**31 - 1)))
    assert type(peer.events[-1]) is ConnectionFailed
    assert peer.goaway() == ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("flood", [
    frame(PING, 0, 0, bytes(8)), frame(PING, 1, 0, bytes(8)), frame(SETTINGS, 0, 0), frame(PRIORITY, 0, 3, bytes(5)),
    frame(WINDOW_UPDATE, 0, 0, u32(1)), frame(DATA, 0, 1), frame(DATA, wire.PADDED, 1, b"\0"), frame(DATA, 0, 1, b"x"),
])  # fmt: skip
def test_sv_13_floods_of_frames_that_carry_nothing_end_the_connection(peer, flood):
    """CVE-2019-9511 to 9518."""
    peer.say(peer.headers(1, POST))
    for _ in range(60):
        peer.say(flood)
        peer.listen()
    event = peer.events[-1]
    assert (type(event), event.error_code) == (ConnectionFailed, ErrorCode.ENHANCE_YOUR_CALM)


def test_sv_13_work_earns_control_frames(peer):
    for stream in range(1, 201, 2):
        peer.request(stream)
        peer.session.grpc_reply(stream, b"x")
        peer.say(frame(PING, 0, 0, bytes(8)), frame(WINDOW_UPDATE, 0, 0, u32(10)))
        peer.listen()
    assert not [event for event in peer.events if type(event) is ConnectionFailed]


def test_sv_13_answers_that_nobody_reads_are_bounded(make):
    """CVE-2019-9512 by a peer whose budget is large: acknowledgements pile up."""
    peer = make(control_burst=10**6)
    for _ in range(100):
        peer.say(*[frame(PING, 0, 0, bytes(8))] * 100)
    (event,) = peer.events
    assert (type(event), event.error_code) == (ConnectionFailed, ErrorCode.ENHANCE_YOUR_CALM)
    assert sum(9 + len(f.payload) for f in peer.listen()) < 128 * 1024


def test_sv_12_what_still_comes_for_a_refused_stream_holds_nothing(peer):
    peer.say(peer.headers(1, POST), *[frame(DATA, 0, 1, bytes(10_000))] * 6)
    peer.listen()
    peer.session.shed()
    for _ in range(4):
        peer.say(*[frame(DATA, 0, 1, bytes(10_000))] * 6)
        assert peer.session.pending_body_bytes == 0
        assert peer.listen()
    assert peer.request(3).body == b"abc"


def test_sv_12_shedding_refuses_what_arrives_and_nothing_else(peer):
    peer.request(1)
    peer.say(peer.headers(3, GRPC), frame(DATA, 0, 3, message(b"x", length=9)), peer.headers(5, POST))
    peer.say(peer.headers(7, WATCH))
    assert peer.session.shed() == []
    answers = peer.answers()
    assert dict(answers[3][0][0])["grpc-status"] == "8"
    assert dict(answers[5][0][0])[":status"] == "503"
    assert set(answers) == {3, 5}
    assert peer.session.pending_body_bytes == 3


@pytest.mark.parametrize("headers", [GRPC, (*POST, ("content-length", "100000"))])
def test_sv_12_memory_follows_what_came_and_not_what_was_declared(make, headers):
    peer = make(max_concurrent_streams=1000, control_burst=1000)
    said = b"".join(
        peer.headers(stream, headers) + frame(DATA, 0, stream, message(b"x", length=99_000))
        for stream in range(1, 401, 2)
    )
    tracemalloc.start()
    try:
        peer.say(said)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peer.session.arriving == 200
    assert used < 200 * 8192


def test_sv_12_unanswered_bodies_close_the_connections_window(make):
    peer = make(max_connection_body_bytes=200_000)
    for stream in (1, 3):
        peer.say(peer.headers(stream, POST), *[frame(DATA, 0, stream, bytes(15_000))] * 4)
    peer.say(frame(DATA, END_STREAM, 1, b""), frame(DATA, END_STREAM, 3, b""))
    given = sum(int.from_bytes(f.payload, "big") for f in peer.listen() if f[::2] == (WINDOW_UPDATE, 0))
    assert peer.session.pending_body_bytes == 120_000
    assert 140_000 - 120_000 + given <= 200_000 - 120_000
    peer.session.respond(1, 200, (), b"")
    peer.session.respond(3, 200, (), b"")
    given += sum(int.from_bytes(f.payload, "big") for f in peer.listen() if f[::2] == (WINDOW_UPDATE, 0))
    assert peer.session.pending_body_bytes == 0
    assert given == 120_000


def test_sv_12_bodies_that_block_each_other_lose_the_largest(make):
    """No body can grow, none is whole, and no answer would free anything."""
    peer = make(max_connection_body_bytes=140_000)
    peer.say(*[peer.headers(stream, GRPC) for stream in (1, 3, 5)])
    for stream, size in ((1, 30_000), (3, 80_000), (5, 30_000)):
        peer.say(*(frame(DATA, 0, stream, part[i : i + 16_384])
                   for part in (message(bytes(size - 5), length=90_000),) for i in range(0, size, 16_384)))  # fmt: skip
    answers = peer.answers(peer.listen())
    assert set(answers) == {3}
    assert dict(answers[3][0][0])["grpc-status"] == "8"
    assert peer.session.pending_body_bytes == 60_000 - 10


def test_sv_12_slow_bodies_expire_and_others_stay(peer):
    peer.say(peer.headers(1, GRPC), frame(DATA, 0, 1, b"\0\0"), peer.headers(3, POST))
    peer.now = 10.0
    peer.say(peer.headers(5, GRPC), peer.call(7), peer.headers(9, WATCH))
    assert peer.session.arriving == 4
    assert peer.session.expire(5.0) == []
    answers = peer.answers()
    assert (dict(answers[1][0][0])["grpc-status"], dict(answers[3][0][0])[":status"]) == ("4", "408")
    assert (set(answers), peer.session.arriving) == ({1, 3}, 2)


def test_sv_12_a_slow_header_block_ends_the_connection(peer):
    peer.say(frame(HEADERS, END_STREAM, 1, peer.block(POST)))
    (event,) = peer.session.expire(1.0)
    assert type(event) is ConnectionFailed
    assert peer.goaway() == ErrorCode.ENHANCE_YOUR_CALM


# Ends: SV-17.


def test_sv_17_a_drain_finishes_what_runs(peer):
    peer.request(1)
    peer.session.goaway(False)
    (notice,) = peer.listen()
    assert notice == (GOAWAY, 0, 0, u32(2**31 - 1) + u32(0))
    peer.request(3)  # it was on its way
    peer.session.goaway(True)
    (final,) = peer.listen()
    assert final.payload[:8] == u32(3) + u32(0)
    assert peer.say(peer.call(5)) == []
    assert not peer.session.ended
    peer.session.grpc_reply(1, b"x")
    peer.session.grpc_fail(3, 14, "draining")
    assert set(peer.answers()) == {1, 3}
    assert peer.session.ended


def test_terminate_ends_at_once(peer):
    peer.request(1)
    peer.session.terminate(ErrorCode.ENHANCE_YOUR_CALM)
    assert peer.goaway() == 11
    assert peer.session.ended
    peer.session.grpc_reply(1, b"x")
    assert peer.session.send(1000) == b""


def test_reset_of_ours_is_not_told_to_us(peer):
    peer.request(1)
    peer.session.reset(1, ErrorCode.REFUSED_STREAM)
    assert peer.resets() == {1: 7}
    assert peer.say(peer.call(3))[0].stream == 3


def test_a_cancelled_answer_gives_its_memory_back(peer):
    peer.request(1)
    peer.session.respond(1, 200, (), bytes(1_000_000))
    peer.listen()
    assert peer.session.unsent_bytes > 900_000
    assert peer.say(frame(RST_STREAM, 0, 1, u32(8))) == []
    assert peer.session.unsent_bytes == 0


def test_send_gives_about_what_was_asked(peer):
    peer.say(wire.settings((4, 2**31 - 1)), frame(WINDOW_UPDATE, 0, 0, u32(2**30)))
    peer.listen()
    body = bytes(range(256)) * 4000
    peer.request(1)
    peer.session.respond(1, 200, (), body)
    pieces = list(iter(lambda: peer.session.send(50_000), b""))
    assert max(map(len, pieces)) <= 50_000 + 16_384 + 9
    assert sum(map(len, pieces)) > len(body)


# Any split of the same bytes is the same conversation.

CONVERSATION = st.lists(st.integers(0, 6), min_size=1, max_size=12)


def spoken(kinds):
    """Return the bytes of a client that says these things."""
    peer = Peer(None, greet=False)
    said = PREFACE + wire.settings()
    for stream, kind in zip(range(1, 1000, 2), kinds, strict=False):
        said += sentence(peer, stream, kind)
    return said


def sentence(peer, stream, kind):
    match kind:
        case 0:
            return peer.call(stream, bytes(300))
        case 1:
            return peer.headers(stream, GRPC) + frame(DATA, 0, stream, message(b"abc")) + frame(DATA, 1, stream)
        case 2:
            return peer.call(stream) + frame(RST_STREAM, 0, stream, u32(8))
        case 3:
            return peer.headers(stream, WATCH) + frame(DATA, END_STREAM, stream, b"x")
        case 4:
            return peer.headers(stream, [*GRPC, ("x", "y" * 3000)], end=True)
        case 5:
            return frame(PING, 0, 0, bytes(8))
        case _:
            return peer.headers(stream, [*GRPC, ("Bad", "x")], end=True)


def heard(session, pieces):
    """Return all events, with the data of streams joined, and all bytes that come back."""
    events, out = [], b""
    for piece in pieces:
        events += session.receive(piece, 0.0)
    out = session.send(1 << 20)
    joined = [event for event in events if type(event) is not Data]
    return joined, b"".join(event.chunk for event in events if type(event) is Data), out


@hypothesis_settings(deadline=None, max_examples=60)
@given(CONVERSATION, st.lists(st.integers(1, 400), max_size=30))
def test_random_splits_give_the_same_events_in_every_implementation(kinds, sizes):
    said = spoken(kinds)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(said[at : at + size])
        at += size
    pieces.append(said[at:])
    many = replace(SMALL, max_concurrent_streams=100)  # a split decides when a refused stream makes room
    results = [heard(open_session(many, implementation=name), split)
               for name in implementations() for split in ([said], pieces, [bytes([b]) for b in said])]  # fmt: skip
    assert all(result[:2] == results[0][:2] for result in results)


@hypothesis_settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300), st.booleans())
def test_sv_12_any_bytes_are_answered_without_an_exception(data, greeted):
    results = []
    for name in implementations():
        session = open_session(SMALL, implementation=name)
        events = session.receive(PREFACE + wire.settings() + data if greeted else data, 0.0)
        results.append((events, session.send(1 << 20), session.ended))
    assert all(result == results[0] for result in results)


# Memory.


def test_sessions_are_freed(implementation):
    buffer = bytearray(1000)
    for _ in range(3):
        peer = Peer(open_session(SMALL, implementation=implementation))
        peer.request(1)
        peer.say(peer.headers(3, GRPC), frame(DATA, 0, 3, message(bytes(500), length=600)))
        peer.session.respond(1, 200, (), buffer)
        del peer
    gc.collect()
    buffer.extend(b"x")  # nobody holds it: resizing a held buffer raises BufferError


def test_bodies_live_longer_than_their_session(implementation):
    peer = Peer(open_session(SMALL, implementation=implementation))
    body = peer.request(1, bytes(10_000)).body
    gone = weakref.ref(peer)
    del peer
    gc.collect()
    assert gone() is None
    assert body == bytes(10_000)
