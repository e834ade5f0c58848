"""Where a session puts a large gRPC message in memory: its tensor at a multiple of 16, for both implementations.

numpy copies an array that does not begin at a multiple of its elements' size. Threats: SV-12.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from strongroom.serving.http2 import (
    ALIGNED_FROM_BYTES,
    ALIGNMENT,
    Cancelled,
    Framing,
    Request,
    SessionSettings,
    implementations,
    open_session,
)

_spec = importlib.util.spec_from_file_location("strongroom_tests_http2_peer", Path(__file__).with_name("http2_peer.py"))
wire = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wire)

SETTINGS = SessionSettings(max_body_bytes=400_000, initial_window=1 << 20, connection_window=1 << 20)
SIZE = ALIGNED_FROM_BYTES + 1000
CONTENT = bytes(range(256)) * 1500


@pytest.fixture(params=["compiled", "cffi"])
def make(request):
    if request.param not in implementations():
        pytest.skip(f"{request.param} is not built here")
    return lambda **changes: wire.Peer(open_session(replace(SETTINGS, **changes), implementation=request.param))


def address(body, place):
    return np.frombuffer(body, np.uint8).ctypes.data + place


def pieces(peer, stream, said, cuts=(), *, headers=wire.GRPC, size=16_384):
    """Say a whole body in DATA frames that end at `cuts` and every `size` bytes; return the last round's events."""
    events = peer.say(peer.headers(stream, headers))
    ends = sorted({cut for cut in (*cuts, *range(size, len(said), size)) if 0 < cut < len(said)} | {len(said)})
    for start, stop in zip([0, *ends], ends, strict=False):
        flags = wire.END_STREAM if stop == len(said) else 0
        events = peer.say(wire.frame(wire.DATA, flags, stream, said[start:stop]))
        peer.listen()
    return events


@pytest.mark.parametrize("place", [*range(ALIGNMENT + 1), 46, 1001, 2**40 + 7, -3])
def test_any_place_of_a_large_message_lies_at_a_multiple_of_16(make, place):
    peer = make()
    peer.session.align = place
    for stream, size in ((1, SIZE), (3, ALIGNED_FROM_BYTES), (5, 380_001)):
        (request,) = pieces(peer, stream, wire.message(CONTENT[:size]))
        assert request.framing == Framing.MESSAGE
        assert bytes(request.body) == CONTENT[:size]
        assert len(request.body) == size
        assert address(request.body, place) % ALIGNMENT == 0
        assert isinstance(request.body, bytes) == (place % ALIGNMENT == 0)


def test_a_placed_body_can_be_read_and_not_written(make):
    peer = make()
    peer.session.align = 46
    (request,) = pieces(peer, 1, wire.message(CONTENT[:SIZE]))
    assert (request.body.readonly, request.body.contiguous, request.body.format) == (True, True, "B")
    with pytest.raises(TypeError):
        request.body[0] = 1


def test_what_is_small_compressed_or_not_grpc_stays_bytes(make):
    peer = make()
    peer.session.align = 46
    (small,) = pieces(peer, 1, wire.message(CONTENT[: ALIGNED_FROM_BYTES - 1]))
    (compressed,) = pieces(peer, 3, wire.message(CONTENT[:SIZE], flag=1))
    (plain,) = pieces(peer, 5, CONTENT[:SIZE], headers=wire.POST)
    assert [type(each.body) for each in (small, compressed, plain)] == [bytes] * 3
    assert [each.framing for each in (small, compressed, plain)] == [
        Framing.MESSAGE, Framing.COMPRESSED, Framing.HTTP
    ]  # fmt: skip


def test_a_body_keeps_the_place_it_began_with(make):
    peer = make()
    said = wire.message(CONTENT[:SIZE])
    peer.session.align = 46
    peer.say(peer.headers(1, wire.GRPC), wire.frame(wire.DATA, 0, 1, said[:10]))
    peer.session.align = 3
    for start in range(10, len(said), 10_000):
        part = said[start : start + 10_000]
        events = peer.say(wire.frame(wire.DATA, wire.END_STREAM if start + 10_000 >= len(said) else 0, 1, part))
    assert bytes(events[0].body) == CONTENT[:SIZE]
    assert address(events[0].body, 46) % ALIGNMENT == 0


@pytest.mark.parametrize("place", range(ALIGNMENT))
def test_limits_are_exact_at_any_place(make, place):
    peer = make(max_body_bytes=SIZE)
    peer.session.align = place
    (request,) = pieces(peer, 1, wire.message(CONTENT[:SIZE]))
    assert peer.session.pending_body_bytes == len(request.body) == SIZE
    peer.session.grpc_reply(1, b"")
    assert peer.session.pending_body_bytes == 0
    assert peer.say(peer.headers(3, wire.GRPC), wire.frame(wire.DATA, 0, 3, wire.message(b"", length=SIZE + 1))) == []
    blocks, *_ = peer.answers()[3]
    assert (b"grpc-status", b"8") in [(bytes(n, "ascii"), bytes(v, "ascii")) for n, v in blocks[0]]


@pytest.mark.parametrize("place", [0, 46])
def test_a_body_shorter_or_longer_than_its_prefix_says_is_broken(make, place):
    peer = make()
    peer.session.align = place
    (short,) = pieces(peer, 1, wire.message(CONTENT[: SIZE - 1], length=SIZE))
    (long,) = pieces(peer, 3, wire.message(CONTENT[: SIZE + 1], length=SIZE))
    assert [(each.body, each.framing) for each in (short, long)] == [(b"", Framing.BROKEN)] * 2
    assert peer.session.pending_body_bytes == 0


def test_a_stream_cancelled_before_or_after_its_last_byte_frees_its_place(make):
    peer = make()
    peer.session.align = 46
    said = wire.message(CONTENT[:SIZE])
    peer.say(peer.headers(1, wire.GRPC), wire.frame(wire.DATA, 0, 1, said[:16_384]))
    assert peer.session.pending_body_bytes == 16_384 - 5
    assert peer.say(wire.frame(wire.RST_STREAM, 0, 1, bytes([0, 0, 0, 8]))) == []
    assert peer.session.pending_body_bytes == 0
    (request,) = pieces(peer, 3, said)
    assert type(request) is Request
    assert peer.say(wire.frame(wire.RST_STREAM, 0, 3, bytes([0, 0, 0, 8]))) == [Cancelled(3, 8)]
    assert peer.session.pending_body_bytes == 0
    del peer
    assert bytes(request.body) == CONTENT[:SIZE]  # held by the view, whatever became of the session


@pytest.mark.parametrize("place", [None, 1.5, "1", b""])
def test_a_place_that_is_no_number_is_refused(make, place):
    session = make().session
    session.align = 5
    with pytest.raises(TypeError):
        session.align = place
    assert session.align == 5


@pytest.mark.skipif(len(implementations()) < 2, reason="one implementation has nothing to differ from")
@hypothesis_settings(deadline=None, max_examples=40)
@given(
    place=st.integers(0, 200), cuts=st.lists(st.integers(1, 400_000), max_size=6),
    flag=st.sampled_from([0, 0, 0, 1, 2]), size=st.integers(ALIGNED_FROM_BYTES - 2, 400_002),
    lie=st.sampled_from([0, 0, 0, 1, -1]),
)  # fmt: skip
def test_both_implementations_place_alike(place, cuts, flag, size, lie):
    said = wire.message((CONTENT + CONTENT)[:size], flag=flag, length=size + lie)
    heard = []
    for name in ("compiled", "cffi"):
        peer = wire.Peer(open_session(SETTINGS, implementation=name))
        peer.session.align = place
        events = pieces(peer, 1, said, cuts)
        kinds = [type(each.body) for each in events if type(each) is Request]
        heard.append((events, kinds, peer.session.pending_body_bytes))
    assert heard[0] == heard[1]
