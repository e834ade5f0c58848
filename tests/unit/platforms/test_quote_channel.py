"""Framing on the quote channel, for every way a stream can be cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.platforms.quote_channel import ChannelBroken, Frames, frame

MESSAGES = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@given(MESSAGES, st.data())
def test_messages_survive_every_cut_of_the_stream(messages, data):
    stream = b"".join(map(frame, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    frames = Frames(smallest=1, largest=40)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += frames.receive(stream[start:end])
    assert found == messages


@given(st.binary(max_size=200))
def test_any_bytes_end_in_messages_or_in_the_catalogued_error(data):
    try:
        found = Frames(smallest=1, largest=40).receive(data)
    except StrongroomError as error:
        assert error.code == "SR-QUOTE-CHANNEL"
    else:
        assert all(1 <= len(each) <= 40 for each in found)


@pytest.mark.parametrize("size", [0, 41, 0xFFFFFFFF])
def test_an_impossible_length_is_refused_before_its_bytes_arrive(size):
    with pytest.raises(ChannelBroken, match="1 to 40"):
        Frames(smallest=1, largest=40).receive(size.to_bytes(4, "little"))
