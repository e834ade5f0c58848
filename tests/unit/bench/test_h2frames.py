"""The load client's frames: what the RFCs print, what `hpack` reads, and bytes cut anywhere."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import h2frames as h2

HEADERS = st.lists(
    st.tuples(st.sampled_from([b":status", b"grpc-status", b"date", b"x"]), st.binary(max_size=40)), max_size=5
)


@pytest.mark.parametrize(("value", "prefix", "wanted"), [(10, 5, "0a"), (1337, 5, "1f9a0a"), (42, 8, "2a")])
def test_integers_are_those_of_rfc_7541_c_1(value, prefix, wanted):
    assert h2.integer(value, prefix).hex() == wanted


def test_a_frame_is_length_kind_flags_stream_and_payload():
    assert h2.frame(h2.DATA, h2.END_STREAM, 5, b"abc").hex() == "000003" + "00" + "01" + "00000005" + b"abc".hex()
    assert h2.settings([(h2.ENABLE_PUSH, 0)]).hex() == "000006040000000000" + "000200000000"
    assert h2.window_update(0, 65536).hex() == "000004080000000000" + "00010000"


def test_grpc_s_prefix_says_not_compressed_and_the_length():
    assert h2.grpc_body(b"abc") == b"\0\0\0\0\x03abc"


def test_the_header_block_of_a_call_is_read_by_hpack():
    headers = h2.grpc_headers("localhost:8500", "/a.B/C" * 40, secure=True)
    assert tuple(hpack.Decoder().decode(h2.literal_block(headers), raw=True)) == headers
    assert (b":scheme", b"https") in headers
    assert (b":scheme", b"http") in h2.grpc_headers("localhost:8500", "/a.B/C", secure=False)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 255), st.integers(0, 99), st.binary(max_size=50))), st.data()
)
def test_frames_are_found_however_the_bytes_are_cut(frames, data):
    stream = b"".join(h2.frame(*each) for each in frames)
    answers, found = h2.Answers(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += answers.frames(stream[:size])
        stream = stream[size:]
    assert found == frames


@given(st.lists(HEADERS, max_size=8), st.lists(st.integers(0, 7), max_size=20))
def test_remembered_blocks_mean_what_hpack_says_though_tables_change(kinds, order):
    encoder, plain, blocks = hpack.Encoder(), hpack.Decoder(), h2.Blocks()
    for index in order:
        if index < len(kinds):
            block = encoder.encode(kinds[index])
            assert blocks.decode(block) == tuple(plain.decode(block, raw=True))


def test_padding_is_taken_off():
    assert h2.unpadded(h2.PADDED, b"\x02abc\0\0") == b"abc"
    assert h2.unpadded(0, b"abc") == b"abc"
