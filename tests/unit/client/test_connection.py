"""One connection: who is believed, what is refused, and that nothing hangs."""

import ssl
import threading

import pytest

from strongroom.client.address import parse_address
from strongroom.client.connection import ClientNotAccepted, Connection, ServerNotTrusted, ServerUnreachable
from strongroom.client.credentials import BadCredentials, Credentials
from strongroom.client.status import BadAnswer, ServerBusy
from strongroom.ports import free_port


def hello(_handler, _body):
    return 200, b"hello"


def connect(server, *, timeout_s=5.0, insecure=False, **credentials):
    return Connection(parse_address(server.url, insecure=insecure), Credentials(**credentials), timeout_s=timeout_s)


def ask(server, **options):
    connection = connect(server, **options)
    try:
        return connection.exchange("GET", "/")
    finally:
        connection.close()


def test_a_server_of_the_ca_is_believed_and_its_certificate_noted(serve, tls):
    connection = connect(serve(hello), ca=tls.ca)
    assert connection.exchange("GET", "/") == (200, b"hello")
    assert connection.certificate.issuer == "CN=Test CA"
    assert connection.certificate.pem == tls.server.read_bytes()
    assert not connection.certificate.pinned
    assert connection.tls_version == "TLSv1.3"
    connection.close()


def test_many_requests_use_one_connection(serve, tls):
    peers = []
    server = serve(lambda handler, _: (200, peers.append(handler.client_address) or b""))
    connection = connect(server, ca=tls.ca)
    for _ in range(3):
        connection.exchange("GET", "/")
    connection.close()
    assert len(set(peers)) == 1


def test_a_server_of_another_ca_gets_no_byte(serve, tls):
    server = serve(hello)
    with pytest.raises(ServerNotTrusted, match="does not verify") as caught:
        ask(server, ca=tls.stranger_ca)
    assert caught.value.code == "SR-SERVER-NOT-TRUSTED"
    assert server.seen == []


def test_a_certificate_for_another_name_is_refused_unless_that_name_is_wanted(serve, tls):
    server = serve(hello, certificate=(tls.named, tls.named_key))
    with pytest.raises(ServerNotTrusted, match="Hostname mismatch"):
        ask(server, ca=tls.ca)
    assert ask(server, ca=tls.ca, server_name="replica.example") == (200, b"hello")


def test_a_pinned_certificate_is_believed_without_its_ca(serve, tls):
    server = serve(hello)
    connection = connect(server, pin=tls.server)
    assert connection.certificate.pinned
    connection.close()
    with pytest.raises(ServerNotTrusted):
        ask(server, pin=tls.named)


def test_fb_11_a_server_certificate_is_no_ca(serve, tls):
    with pytest.raises(BadCredentials, match="is no CA certificate") as caught:
        ask(serve(hello), ca=tls.server)
    assert caught.value.code == "SR-CREDENTIALS"


def test_mutual_tls_shows_the_client_s_certificate(serve, tls):
    server = serve(hello, mutual=True)
    assert ask(server, ca=tls.ca, certificate=tls.client, key=tls.client_key) == (200, b"hello")


@pytest.mark.parametrize("which", ["none", "stranger"])
def test_a_client_that_the_server_does_not_accept_is_told_so(serve, tls, which):
    shown = {} if which == "none" else {"certificate": tls.other_client, "key": tls.other_client_key}
    with pytest.raises(ClientNotAccepted) as caught:
        ask(serve(hello, mutual=True), ca=tls.ca, **shown)
    assert caught.value.code == "SR-CLIENT-NOT-ACCEPTED"


def test_sv_03_a_server_without_tls_is_refused(serve, tls):
    server = serve(hello, plain=True)
    server.url = server.url.replace("http:", "https:")
    with pytest.raises(ServerNotTrusted, match="does not speak TLS"):
        ask(server, ca=tls.ca)
    assert not any(method in {"GET", "POST"} for method, _, _ in server.seen)


def test_sv_03_tls_1_1_is_refused(serve, tls):
    context = Credentials(ca=tls.ca).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_plaintext_works_when_told(serve):
    assert ask(serve(hello, plain=True), insecure=True) == (200, b"hello")


def test_nobody_listening_is_unreachable(tls):
    port = free_port()
    with pytest.raises(ServerUnreachable, match="refused") as caught:
        Connection(parse_address(f"https://127.0.0.1:{port}"), Credentials(ca=tls.ca), timeout_s=2)
    assert caught.value.code == "SR-SERVER-UNREACHABLE"


def test_an_answer_longer_than_the_limit_is_refused_and_the_connection_closed(serve, tls):
    connection = connect(serve(lambda *_: (200, b"x" * 2000)), ca=tls.ca)
    with pytest.raises(BadAnswer, match="longer than 1000 bytes"):
        connection.exchange("GET", "/", limit=1000)
    assert not connection.is_open


def test_an_answer_that_is_not_http_is_refused(serve, tls):
    with pytest.raises(BadAnswer, match="does not answer in HTTP"):
        ask(serve(lambda *_: (None, b"SSH-2.0-OpenSSH\r\n\r\n")), ca=tls.ca)


def test_a_server_that_hangs_up_is_unreachable(serve, tls):
    with pytest.raises(ServerUnreachable):
        ask(serve(lambda *_: (None, b"")), ca=tls.ca)


def test_a_server_that_trickles_bytes_ends_at_the_deadline(serve, tls):
    stop = threading.Event()

    def trickle(handler, _body):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.02):
            handler.wfile.write(b"X: y\r\n"[:1])
            handler.wfile.flush()
        return None, b""

    connection = connect(serve(trickle), ca=tls.ca)
    connection.timeout_s = 0.3  # of the exchange, not of what went before
    try:
        with pytest.raises(ServerBusy, match=r"did not answer within 0\.3 s"):
            connection.exchange("GET", "/")
    finally:
        stop.set()
        connection.close()


@pytest.mark.parametrize(
    "shown", [{"certificate": "client"}, {"key": "client_key"}, {"ca": "ca", "pin": "server"}, {"ca": "client_key"}]
)
def test_credentials_that_contradict_each_other_are_refused(tls, shown):
    with pytest.raises(BadCredentials):
        Credentials(**{name: getattr(tls, file) for name, file in shown.items()}).context()


def test_a_key_of_another_certificate_is_refused(tls):
    with pytest.raises(BadCredentials, match="do not fit"):
        Credentials(ca=tls.ca, certificate=tls.client, key=tls.other_client_key).context()


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(tls, tmp_path):
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_private_key(tls.client_key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"x")))
    with pytest.raises(BadCredentials, match="passphrase"):
        Credentials(ca=tls.ca, certificate=tls.client, key=locked).context()
