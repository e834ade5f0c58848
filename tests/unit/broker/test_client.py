"""The replica's end: it proves nothing to a broker it cannot check, and takes nothing but one exact answer."""

import contextlib
import socket
import threading
from datetime import UTC, datetime

import pytest

from strongroom.broker.gramine_client import (
    BrokerNameInvalid,
    BrokerRefused,
    BrokerUnreachable,
    BrokerUntrusted,
    CertificateAuthorityUnusable,
    provision,
)
from strongroom.broker.tls import ServerKeyUnusable, TlsFailed, TlsFloods, TlsPeer, server_context
from strongroom.gramine.provisioning import REQUEST, RESPONSE, ProvisioningAnswerMalformed
from strongroom.pki import ratls
from strongroom.pki.authority import Authority
from strongroom.ports import free_port
from strongroom.secret import Secret


class FakeBroker:
    """A server with any certificate that records all it receives and answers what it is told to."""

    def __init__(self, leaf, answer=b"", *, version=False):
        self.received, self.requests = b"", b""
        self._answer = answer
        self._context = server_context(leaf.certificate_pem, leaf.key_pem, tls13=version)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connection, _ = self._listener.accept()
        connection.settimeout(30)
        tls = TlsPeer(self._context, server=True, max_bytes=10**6)
        with connection, contextlib.suppress(TlsFailed, OSError):
            while not tls.handshake():
                connection.sendall(tls.outgoing())
                self._receive(connection, tls)
            connection.sendall(tls.outgoing())
            while len(self.requests) < len(REQUEST):
                data = tls.read()
                if data is None:
                    self._receive(connection, tls)
                else:
                    self.requests += data
            tls.write(self._answer)
            connection.sendall(tls.outgoing())

    def _receive(self, connection, tls):
        data = connection.recv(65536)
        if not data:
            raise ConnectionError
        self.received += data
        tls.feed(data)

    def close(self):
        self._thread.join(60)
        self._listener.close()


@pytest.fixture
def fake():
    running = []

    def start(leaf, answer=b"", **options):
        running.append(FakeBroker(leaf, answer, **options))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def ask(owner, replica):
    def run(port, host="localhost", **options):
        options = {"ca_pem": owner[0].certificate_pem, "timeout_s": 20, **options}
        return provision(host, port, platform=replica, **options)

    return run


def sent_a_certificate(server, replica):
    """Return whether evidence crossed the wire; in TLS 1.2 a client's certificate travels in the clear."""
    return any(report_data[:32] in server.received for report_data in replica.asked)


def test_fb_21_a_broker_of_another_ca_gets_no_evidence(fake, ask, replica):
    stranger = Authority.create("stranger", now=datetime.now(UTC)).issue_server(["localhost"], now=datetime.now(UTC))
    server = fake(stranger, RESPONSE)
    with pytest.raises(BrokerUntrusted) as refused:
        ask(server.port)
    server.close()
    assert refused.value.code == "SR-BROKER-UNTRUSTED"
    assert server.requests == b""
    assert not sent_a_certificate(server, replica)


@pytest.mark.parametrize("name_and_host", ["attestation.service.com localhost", "localhost 127.0.0.1"])
def test_fb_21_a_broker_of_another_name_gets_no_evidence(fake, ask, owner, replica, name_and_host):
    name, host = name_and_host.split()  # the second: an address, with a certificate for a name alone
    server = fake(owner[0].issue_server([name], now=datetime.now(UTC)), RESPONSE)
    with pytest.raises(BrokerUntrusted):
        ask(server.port, host)
    server.close()
    assert not sent_a_certificate(server, replica)


def test_fb_21_a_client_certificate_is_no_brokers(fake, ask, owner, replica):
    server = fake(owner[0].issue_client("localhost", now=datetime.now(UTC)), RESPONSE)
    with pytest.raises(BrokerUntrusted):
        ask(server.port)
    server.close()
    assert not sent_a_certificate(server, replica)


def test_a_trusted_broker_does_see_the_evidence(fake, ask, owner, replica):
    server = fake(owner[1], RESPONSE + b"\x00\x00\x00\x05hello")
    assert ask(server.port) == Secret(b"hello")
    server.close()
    assert sent_a_certificate(server, replica)
    assert server.requests == REQUEST


def test_a_broker_may_be_named_by_an_address_that_is_in_its_certificate(broker, replica, owner):
    secret = provision("127.0.0.1", broker.port, ca_pem=owner[0].certificate_pem, platform=replica)
    assert len(secret) == 16


def test_our_client_speaks_tls_1_3_to_a_broker_that_does(broker_with, replica):
    with broker_with(tls13=True) as broker:
        assert len(broker.provision(replica)) == 16
        assert broker.decisions()[0]["tls"] == "TLSv1.3"


@pytest.mark.parametrize(
    "answer",
    [RESPONSE + bytes(4), RESPONSE + b"\x00\x01\x00\x01", b"HTTP/1.1 200 OK\r\n\r\n", RESPONSE + b"\x00\x00\x00\x01ab"],
    ids=["length 0", "oversize", "HTTP", "too long"],
)
def test_another_answer_is_refused(fake, ask, owner, answer):
    server = fake(owner[1], answer)
    with pytest.raises(ProvisioningAnswerMalformed):
        ask(server.port)


@pytest.mark.parametrize("answer", [b"", RESPONSE, RESPONSE + b"\x00\x00\x00\x10half"])
def test_a_broker_that_hangs_up_has_refused(fake, ask, owner, answer):
    with pytest.raises(BrokerRefused) as refused:
        ask(fake(owner[1], answer).port)
    assert refused.value.code == "SR-BROKER-REFUSED"
    assert "ledger show" in refused.value.fix


def test_a_secret_up_to_64_kib_arrives(fake, ask, owner):
    server = fake(owner[1], RESPONSE + b"\x00\x01\x00\x00" + b"x" * 65536)
    assert len(ask(server.port)) == 65536


def test_nobody_listening_is_unreachable(ask):
    port = free_port()
    with pytest.raises(BrokerUnreachable) as refused:
        ask(port)
    assert refused.value.code == "SR-BROKER-UNREACHABLE"


def test_a_name_that_does_not_exist_is_unreachable(ask):
    with pytest.raises(BrokerUnreachable):
        ask(4433, "no-such-host.invalid")


def test_a_broker_that_says_nothing_is_unreachable(ask):
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(BrokerUnreachable, match="within"):
        ask(listener.getsockname()[1], timeout_s=0.2)


def test_a_server_that_speaks_no_tls_is_refused(ask):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(10)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(100_000)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BrokerRefused, match="handshake"):
            ask(listener.getsockname()[1])
        thread.join(30)


@pytest.mark.parametrize("ca", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_ca_that_cannot_be_read_is_named(ask, ca):
    with pytest.raises(CertificateAuthorityUnusable) as refused:
        ask(1, ca_pem=ca)
    assert refused.value.code == "SR-BROKER-CA"


@pytest.mark.parametrize("host", ["", "my_broker", "ü.example", "localhost.", "a" * 64, "*.example", "a b"])
def test_a_name_that_no_certificate_could_hold_is_refused(ask, replica, host):
    with pytest.raises(BrokerNameInvalid) as refused:
        ask(1, host)
    assert refused.value.code == "SR-BROKER-NAME"
    assert replica.asked == []


def test_each_connection_has_a_key_of_its_own(broker, replica):
    broker.provision(replica)
    broker.provision(replica)
    assert len(set(replica.asked)) == 4


# The TLS layer by itself -----------------------------------------------------------------------------------------


def test_a_brokers_key_has_to_belong_to_its_certificate(owner):
    leaf, other = owner[1], owner[0].issue_server(["localhost"], now=datetime.now(UTC))
    for certificate, key in [
        (leaf.certificate_pem, other.key_pem),
        (b"nonsense", leaf.key_pem),
        (leaf.certificate_pem, Secret(b"nonsense")),
    ]:
        with pytest.raises(ServerKeyUnusable) as refused:
            server_context(certificate, key)
        assert refused.value.code == "SR-BROKER-CERTIFICATE"


def test_a_peer_has_a_budget_of_bytes(owner):
    peer = TlsPeer(server_context(owner[1].certificate_pem, owner[1].key_pem), server=True, max_bytes=10)
    peer.feed(b"12345")
    with pytest.raises(TlsFloods) as refused:
        peer.feed(b"678901")
    assert refused.value.code == "SR-TLS-FLOOD"


def test_the_certificate_lives_a_day(broker, replica, monkeypatch):
    made = []
    make = ratls.make_certificate
    monkeypatch.setattr(ratls, "make_certificate", lambda *a, **k: made.append(k) or make(*a, **k))
    broker.provision(replica)
    [options] = made
    assert (options["not_after"] - options["not_before"]).total_seconds() <= 86400 + 600
