"""gRPC's headers and compression: any bytes give a value or a StrongroomError, within the limit."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.serving.fronts.grpc_wire import encoding_of, expanded, is_grpc, timeout_of

LIMIT = 1000


@given(st.binary(max_size=30) | st.from_regex(rb"\A[0-9]{1,22}[HMSmun]\Z"))
def test_a_timeout_is_a_number_of_seconds_or_refused(text):
    try:
        seconds = timeout_of(text)
    except StrongroomError as problem:
        assert problem.code == "SR-GRPC-CALL"
    else:
        assert 0 <= seconds <= 10**8


@given(st.binary(max_size=60))
def test_any_encoding_is_known_or_refused(text):
    try:
        assert encoding_of({b"grpc-encoding": text}) in {b"identity", b"gzip", b"deflate"}
    except StrongroomError as problem:
        assert problem.code == "SR-GRPC-ENCODING"


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate", b"identity"]))
def test_any_bytes_expand_within_the_limit_or_are_refused(data, encoding):
    try:
        assert len(expanded(data, encoding, max_bytes=LIMIT)) <= LIMIT
    except StrongroomError as problem:
        assert problem.code in {"SR-GRPC-CALL", "SR-GRPC-TOO-LARGE"}


@given(st.binary(max_size=3 * LIMIT))
def test_what_was_compressed_comes_back_or_is_too_large(data):
    made = zlib.compress(data)
    try:
        assert expanded(made, b"deflate", max_bytes=LIMIT) == data
    except StrongroomError as problem:
        assert problem.code == "SR-GRPC-TOO-LARGE"
        assert len(data) > LIMIT


@given(st.binary(max_size=40))
def test_only_grpcs_content_types_are_grpc(text):
    assert not is_grpc(text) or text.lower().startswith(b"application/grpc")
