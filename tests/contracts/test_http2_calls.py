"""What the application may do wrong, or at a bad time, to an HTTP/2 session: arguments, sizes, memory, re-entry."""

import gc
import importlib.util
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.serving.http2 import Cancelled, Data, Opened, Request, SessionSettings, implementations, open_session

_spec = importlib.util.spec_from_file_location("strongroom_tests_http2_peer", Path(__file__).with_name("http2_peer.py"))
wire = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wire)

frame, message, GRPC, POST, DATA = wire.frame, wire.message, wire.GRPC, wire.POST, wire.DATA
WATCH = tuple((":path", "/watch") if name == ":path" else (name, value) for name, value in GRPC)
SETTINGS = SessionSettings(streaming_paths=frozenset({"/watch"}))
INTERNAL_ERROR = 2


@pytest.fixture(params=["compiled", "cffi"])
def make(request):
    if request.param not in implementations():
        pytest.skip(f"{request.param} is not built here")
    return lambda **changes: wire.Peer(open_session(replace(SETTINGS, **changes), implementation=request.param))


@pytest.fixture
def compiled():
    if "compiled" not in implementations():
        pytest.skip("the codec is not built here")
    return wire.Peer(open_session(SETTINGS, implementation="compiled"))


# Arguments: a call that raises did nothing.

WRONG = [
    ("grpc_reply", "text"),
    ("grpc_reply", None),
    ("grpc_reply", memoryview(bytes(10))[::2]),
    ("grpc_fail", "five", "text"),
    ("grpc_fail", 5, 5),
    ("respond", 200, ((b"a", b"b"),), "text"),
    ("respond", 200, (("a", "b"),), b""),
    ("respond", 200, ((b"a", None),), b""),
    ("respond", 200, 5, b""),
    ("respond", "200", (), b""),
    ("reset", 2**32),
    ("reset", -1),
]


@pytest.mark.parametrize(("call", "arguments"), [(call, arguments) for call, *arguments in WRONG])
def test_a_call_with_wrong_arguments_changes_nothing(make, call, arguments):
    peer = make()
    peer.request(1)
    with pytest.raises((TypeError, BufferError, OverflowError)):
        getattr(peer.session, call)(1, *arguments)
    assert (peer.listen(), peer.session.unsent_bytes, peer.session.pending_body_bytes) == ([], 0, 3)
    peer.session.grpc_reply(1, b"x")
    assert peer.answers()[1][1:] == (message(b"x"), True, None)


def test_a_wrong_message_leaves_a_begun_answer_as_it_was(make):
    peer = make()
    peer.say(peer.headers(1, WATCH))
    peer.session.begin_stream(1)
    for call, arguments in (("write", ["text"]), ("finish", ["0", ""]), ("grpc_fail", [0, 5])):
        with pytest.raises(TypeError):
            getattr(peer.session, call)(1, *arguments)
    peer.session.write(1, b"x")
    peer.session.finish(1, 0, "")
    assert peer.answers()[1][1:3] == (message(b"x"), True)


@pytest.mark.parametrize("code", [2**32, -1])
def test_error_codes_have_32_bits(make, code):
    session = make().session
    with pytest.raises(OverflowError):
        session.terminate(code)
    assert not session.ended
    session.terminate(2**32 - 1)


# Sizes: every stream gets an end.


def test_a_long_text_of_a_status_is_cut(make):
    peer = make()
    peer.request(1)
    peer.session.grpc_fail(1, 3, "x" * 70_000)
    ((headers,), _, ended, _) = peer.answers()[1]
    assert (dict(headers)["grpc-message"], ended) == ("x" * 4096, True)
    peer.request(3)
    peer.session.grpc_fail(3, 3, "\N{SNOWMAN}" * 70_000)
    assert sum(len(part.payload) for part in peer.listen()) < 4096 * 9
    assert peer.session.open_streams == 0


def test_headers_that_cannot_be_sent_end_their_stream(make):
    peer = make()
    peer.request(1)
    peer.session.respond(1, 200, ((b"a", b"x" * 70_000),), b"body")
    assert peer.resets() == {1: INTERNAL_ERROR}
    assert (peer.session.open_streams, peer.session.unsent_bytes) == (0, 0)
    assert peer.request(3).body == b"abc"


def test_sv_12_a_begun_answer_is_refused_in_its_trailers(make):
    peer = make(max_body_bytes=20)
    events = peer.say(peer.headers(1, WATCH), frame(DATA, 0, 1, bytes(15)))
    peer.session.begin_stream(1)
    peer.session.write(1, b"so far")
    events += peer.say(frame(DATA, 0, 1, bytes(15)))
    assert [type(event) for event in events] == [Opened, Data, Cancelled]
    ((head, trailers), body, ended, reset) = peer.answers()[1]
    assert (dict(head)[":status"], body, dict(trailers)["grpc-status"]) == ("200", message(b"so far"), "8")
    assert (":status" in dict(trailers), ended, reset) == (False, True, 0)


# Memory.


@pytest.mark.parametrize("headers", [GRPC, (*POST, ("content-length", "30000000"))])
def test_sv_12_a_growing_body_costs_at_most_four_times_what_came(make, headers):
    peer = make(max_frame_size=16_384)
    said = [peer.headers(1, headers) + frame(DATA, 0, 1, message(bytes(11_000), length=29_999_995))]
    said += [frame(DATA, 0, 1, bytes(16_000)) for _ in range(20)]
    for piece in said[:2]:
        peer.say(piece)
    tracemalloc.start()
    try:
        for piece in said[2:]:
            peer.say(piece)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * peer.session.pending_body_bytes + 50_000


def test_sv_12_no_more_is_reserved_to_send_than_the_peer_takes(make):
    peer = make()
    peer.request(1)
    peer.session.grpc_reply(1, bytes(20_000_000))
    tracemalloc.start()
    try:
        sent = peer.session.send(1 << 30)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 65_535 < len(sent) < 70_000
    assert most < 1_000_000


# Re-entry: code that runs in the midst of a call, because something is freed there.


class Owner(bytearray):
    """A buffer that calls a session when it is freed."""

    def __init__(self, size, session, caught):
        super().__init__(size)
        self.session, self.caught = session, caught

    def __del__(self):
        for call, *arguments in (("send", 1), ("receive", b"", 0.0), ("grpc_reply", 3, b"y"), ("expire", 9.0)):
            with pytest.raises(RuntimeError, match="in use"):
                getattr(self.session, call)(*arguments)
        self.caught.append(self.session.open_streams)


@pytest.mark.parametrize("end", ["sent", "cancelled"])
def test_sv_12_a_buffer_freed_in_the_midst_of_a_call_cannot_call_in(compiled, end):
    caught = []
    compiled.request(1)
    compiled.request(3)
    compiled.session.grpc_reply(1, Owner(100, compiled.session, caught))
    assert caught == []
    if end == "sent":
        assert compiled.answers()[1][1] == message(bytes(100))
    else:
        compiled.say(frame(wire.RST_STREAM, 0, 1, bytes(3) + b"\x08"))
    assert len(caught) == 1
    compiled.session.grpc_reply(3, b"x")
    assert compiled.answers()[3][1] == message(b"x")


class Cycle:
    """Garbage that only the collector finds, and that calls a session then."""

    def __init__(self, session, caught):
        self.me, self.session, self.caught = self, session, caught

    def __del__(self):
        try:
            self.session.send(1 << 20)
        except RuntimeError:
            self.caught.append(True)


def test_sv_12_the_collector_may_run_in_the_midst_of_reading(compiled):
    caught = []
    said = b"".join(compiled.call(stream, headers=(*GRPC, ("x", str(stream)))) for stream in range(1, 101, 2))
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            Cycle(compiled.session, caught)
        events = compiled.say(said)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert [event.stream for event in events if type(event) is Request] == list(range(1, 101, 2))
    assert not [event for event in events if type(event) is not Request]
