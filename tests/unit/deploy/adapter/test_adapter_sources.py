"""What replicas say of themselves is added up; what they do not say is not made up."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from strongroom.deploy.adapter_sources import (
    IN_FLIGHT,
    MAX_METRICS_BYTES,
    InFlight,
    MetricUnknown,
    Replicas,
    trust,
    value_of,
)


@pytest.fixture
def in_flight(replicas, authority):
    def make(*texts, server_name="grpc.serving.test", **words):
        port, addresses = replicas(*texts, **words)
        found = Replicas(host="localhost", port=port, server_name=server_name, tls=trust(authority.certificate_pem))
        return InFlight(found, addresses=lambda: addresses)

    return make


def said(value):
    return f"# TYPE {IN_FLIGHT} gauge\n{IN_FLIGHT} {value}\nstrongroom_ready 1\n"


def test_replicas_are_added_up(in_flight):
    assert in_flight(said(3), said(0), said(4)).read() == 7


def test_a_replica_that_does_not_answer_counts_as_the_others_do(in_flight):
    assert in_flight(said(4), said(8), None).read() == 18


@pytest.mark.parametrize("texts", [(said(4), None, None), ()])
def test_without_half_of_the_replicas_there_is_no_value(in_flight, texts):
    with pytest.raises(MetricUnknown) as caught:
        in_flight(*texts).read()
    assert caught.value.code == "SR-ADAPTER-NO-VALUE"


@pytest.mark.parametrize(
    "answer",
    ["strongroom_ready 1\n", said("NaN"), said(-1), said("inf"), "x" * (MAX_METRICS_BYTES + 1),
     PlainTextResponse(said(4), 503)],
    ids=["another", "nan", "negative", "infinite", "endless", "refused"],
)  # fmt: skip
def test_what_is_no_number_is_no_answer(in_flight, answer):
    with pytest.raises(MetricUnknown):
        in_flight(answer).read()


def test_a_replica_needs_the_deployments_name_and_ca(in_flight):
    with pytest.raises(MetricUnknown):
        in_flight(said(1), server_name="other.test").read()
    with pytest.raises(MetricUnknown):
        in_flight(said(1), names=("other.test",)).read()


def test_addresses_come_from_dns(authority):
    places = Replicas(host="localhost", port=8501, server_name="x", tls=trust(authority.certificate_pem))
    assert "127.0.0.1" in places.addresses()
    with pytest.raises(MetricUnknown):
        Replicas(host="no.such.invalid", port=1, server_name="x", tls=places.tls).addresses()


def test_replicas_may_be_asked_with_an_identity(authority, written):
    from datetime import UTC, datetime

    from strongroom.secret import Secret

    leaf = authority.issue_client("adapter.test", now=datetime.now(UTC))
    context = trust(authority.certificate_pem, identity=(written(Secret(leaf.certificate_pem)), written(leaf.key_pem)))
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_cells_with_labels_are_added_up():
    assert value_of("m", b'm{a="1"} 2\nm{a="2"} 3.5\nm_other 9\nnot_m 8\n') == 5.5
    assert value_of("m", b"m 1e400\n") is None
    assert value_of("m", b"m 1.2.3\n") is None


@given(st.binary(max_size=200))
def test_any_bytes_are_read(text):
    assert value_of("m", b"m " + text) is None or value_of("m", b"m " + text) >= 0
