"""The parts of the HTTP/2 room that need no connection: budgets, gRPC's framing, the choice of an implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.serving.http2 import Http2Unavailable, SessionSettings, available, choice, open_session
from strongroom.serving.http2.budgets import Budget
from strongroom.serving.http2.grpc_frames import BadGrpcFraming, Message, MessageReader, percent_encoded, prefixed


def test_a_budget_is_a_burst_and_a_rate():
    budget = Budget(2, 0.5)
    budget.refill(100.0)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.refill(104.0)
    assert [budget.spend() for _ in range(2)] == [True, False]
    budget.earn(100.0)
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_a_clock_that_goes_backwards_gives_nothing():
    budget = Budget(1, 1.0)
    budget.refill(100.0)
    assert budget.spend()
    budget.refill(50.0)
    assert not budget.spend()


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=50)), max_size=8), st.lists(st.integers(1, 20)))
def test_messages_come_whole_from_any_pieces(messages, sizes):
    reader, found, at = MessageReader(max_bytes=50), [], 0
    said = b"".join(bytes([flag]) + prefixed(len(data))[1:] + data for flag, data in messages)
    for size in [*sizes, len(said)]:
        found += reader.receive(said[at : at + size])
        at += size
    assert found == [Message(flag, data) for flag, data in messages]
    assert reader.empty


@pytest.mark.parametrize("prefix", [b"\x00\x00\x00\x00\x33", b"\x02\x00\x00\x00\x01", b"\x00\xff\xff\xff\xff"])
def test_sv_12_a_message_beyond_the_limit_is_refused_by_its_prefix(prefix):
    reader = MessageReader(max_bytes=50)
    with pytest.raises(BadGrpcFraming, match="at most 50") as caught:
        reader.receive(prefix)
    assert caught.value.code == "SR-GRPC-FRAMING"


@given(st.text())
def test_any_text_becomes_printable_ascii(text):
    assert all(0x20 <= byte <= 0x7E for byte in percent_encoded(text))


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(choice, "implementations", dict)
    assert available() is None
    with pytest.raises(Http2Unavailable, match="libnghttp2") as caught:
        open_session(SessionSettings())
    assert caught.value.code == "SR-HTTP2-UNAVAILABLE"
