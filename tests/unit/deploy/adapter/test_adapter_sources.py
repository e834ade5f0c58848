"""What replicas say of themselves is added up; what they do not say is not made up."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy import adapter_sources
from strongroom.deploy.adapter_sources import (
    IN_FLIGHT,
    MAX_ANSWER_BYTES,
    InFlight,
    MetricUnknown,
    Replicas,
    value_of,
)


@pytest.fixture
def in_flight(replicas):
    def make(*said):
        port, addresses = replicas(*said)
        return InFlight(Replicas(host="localhost", port=port), addresses=lambda: addresses)

    return make


def answered(value, status="200 OK", ends="\n"):
    return f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n\r\n# TYPE x gauge\n{IN_FLIGHT} {value}{ends}".encode()


def test_replicas_are_added_up(in_flight):
    assert in_flight(3, 0, 4).read() == 7
    assert in_flight(answered(5)).read() == 5


def test_a_replica_that_does_not_answer_counts_as_the_others_do(in_flight):
    assert in_flight(4, 8, None).read() == 18


@pytest.mark.parametrize("all_said", [(4, None, None), ()])
def test_without_half_of_the_replicas_there_is_no_value(in_flight, all_said):
    with pytest.raises(MetricUnknown) as caught:
        in_flight(*all_said).read()
    assert caught.value.code == "SR-ADAPTER-NO-VALUE"


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\n\r\nstrongroom_ready 1\n", answered("NaN"), answered(-1), answered("1e9"),
     answered("9" * 10), answered(4, "503 Service Unavailable"), answered(4, "2000 OK"), answered(12, ends=""),
     b"x" * MAX_ANSWER_BYTES + answered(4)],
    ids=["nothing", "another", "nan", "negative", "no-digits", "too-large", "refused", "no-status", "cut-off",
         "endless"],
)  # fmt: skip
def test_what_is_no_number_is_no_answer(in_flight, said):
    with pytest.raises(MetricUnknown):
        in_flight(said).read()


def test_a_replica_that_takes_its_time_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(adapter_sources, "REPLICA_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        replicas = Replicas(host="localhost", port=silent.getsockname()[1])
        with pytest.raises(TimeoutError):
            replicas.answer("127.0.0.1")


def test_addresses_come_from_dns():
    assert "127.0.0.1" in Replicas(host="localhost", port=8502).addresses()
    with pytest.raises(MetricUnknown):
        Replicas(host="no.such.invalid", port=1).addresses()


@given(st.binary(max_size=200))
def test_any_bytes_are_read(said):
    for answer in (said, b"HTTP/1.1 200 OK\r\n\r\nm " + said):
        assert value_of("m", answer) is None or value_of("m", answer) >= 0
