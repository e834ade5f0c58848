"""The bounded reader hands out exactly what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import BadInput
from strongroom.wire import Malformed, Reader


def test_numbers_are_read_in_their_byte_order():
    reader = Reader(bytes(range(1, 25)))
    assert reader.u8("a") == 0x01
    assert reader.u16("b") == 0x0302
    assert reader.u32("c") == 0x07060504
    assert reader.u64("d") == 0x0F0E0D0C0B0A0908
    assert reader.u16_be("e") == 0x1011
    assert reader.u32_be("f") == 0x12131415
    assert (reader.position, reader.remaining) == (21, 3)
    assert reader.rest() == b"\x16\x17\x18"
    reader.expect_end()


@pytest.mark.parametrize("count", [5, 2**16 - 1, 2**32 - 1, 2**64, -1])
def test_ev_01_a_length_beyond_the_end_is_refused(count):
    with pytest.raises(Malformed, match="field needs"):
        Reader(b"1234").take(count, "field")


def test_left_over_bytes_are_refused():
    with pytest.raises(Malformed, match="2 bytes are left over") as caught:
        Reader(b"12").expect_end()
    assert caught.value.code == "SR-MALFORMED"


def test_a_format_keeps_its_own_error():
    class Short(BadInput):
        """A test format is short."""

    with pytest.raises(Short, match="quote: body needs 9 bytes at offset 0, 1 are left"):
        Reader(b"1", what="quote", error=Short).view(9, "body")


@given(st.binary(max_size=64), st.lists(st.integers(0, 20), max_size=10))
def test_reading_never_goes_past_the_end(data, counts):
    reader, taken = Reader(data), b""
    for count in counts:
        try:
            piece = reader.take(count, "piece")
        except Malformed:
            assert count > len(data) - len(taken)
            break
        assert len(piece) == count
        taken += piece
    assert data.startswith(taken)
