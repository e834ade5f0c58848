"""The reader of the plaintext port takes any bytes: it returns requests or one typed error, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.clusterserving.names import Job
from strongroom.errors import StrongroomError
from strongroom.streaming.client.compat_commands import read_command
from strongroom.streaming.client.resp import CommandLimits, NotRedisProtocol, Requests

commands = st.lists(st.binary(max_size=40), min_size=1, max_size=6).map(tuple)


def spelled(command: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in command)


@given(st.lists(commands, max_size=5), st.lists(st.integers(1, 30), max_size=40))
def test_requests_come_out_as_they_went_in_however_they_are_cut(sent, cuts):
    data, requests, found = b"".join(map(spelled, sent)), Requests(), []
    for size in cuts:
        found += requests.receive(data[:size])
        data = data[size:]
    found += requests.receive(data)
    assert found == sent
    assert not requests.waiting


@given(st.binary(max_size=300), st.integers(1, 300))
def test_any_bytes_give_requests_or_the_one_error(data, cut):
    requests = Requests(CommandLimits(arguments=50, total_bytes=200))
    try:
        found = requests.receive(data[:cut]) + requests.receive(data[cut:])
    except NotRedisProtocol:
        return
    assert all(len(each) <= 50 and sum(map(len, each)) <= 200 for each in found)


@given(st.lists(commands, min_size=1, max_size=3), st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_gives_requests_or_the_one_error(sent, place, byte):
    data = bytearray(b"".join(map(spelled, sent)))
    data[place % len(data)] = byte
    try:
        Requests().receive(bytes(data))
    except NotRedisProtocol as problem:
        assert problem.code == "SR-QUEUE-COMPAT-PROTOCOL"


words = st.sampled_from(
    [
        b"XADD",
        b"xadd",
        b"HGETALL",
        b"DEL",
        b"KEYS",
        b"XGROUP",
        b"HELLO",
        b"CLIENT",
        b"SELECT",
        b"PING",
        b"EVAL",
        b"MULTI",
    ]
)
arguments = st.lists(
    st.sampled_from(
        [b"*", b"uri", b"data", b"j", b"cluster-serving_j:a", b"cluster-serving_k:a", b"CREATE", b"serving", b"0", b"3"]
    )
    | st.binary(max_size=20),
    max_size=8,
)  # fmt: skip


@given(words | st.binary(min_size=1, max_size=10), arguments)
def test_any_request_is_understood_or_refused_with_a_typed_error(word, rest):
    try:
        read_command((word, *rest), Job("j"), 100)
    except StrongroomError as problem:
        assert problem.code in {"SR-QUEUE-COMPAT-COMMAND", "SR-QUEUE-URI", "SR-QUEUE-TOO-LARGE"}


@pytest.mark.parametrize(
    "data",
    [
        b"PING\r\n", b"*1\r\n+PING\r\n", b"*-1\r\n", b"*99999999999999\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$4\r\nPINGxx",
        b"*1 \r\n", b"$4\r\n",
    ],
)  # fmt: skip
def test_what_is_no_array_of_bulk_strings_is_refused(data):
    with pytest.raises(NotRedisProtocol):
        Requests().receive(data)


def test_lengths_are_refused_before_anything_of_that_length_came():
    with pytest.raises(NotRedisProtocol):
        Requests().receive(b"*2\r\n$4\r\nXADD\r\n$999999999\r\n")
    with pytest.raises(NotRedisProtocol):
        Requests(CommandLimits(arguments=3)).receive(b"*4\r\n")


def test_an_empty_array_is_passed_over_as_redis_does():
    assert Requests().receive(b"*0\r\n*1\r\n$4\r\nPING\r\n") == [(b"PING",)]
