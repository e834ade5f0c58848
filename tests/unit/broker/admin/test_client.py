"""The remote administration: whom it trusts, what it reveals, and what it says when something breaks half-way."""

import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from strongroom.broker.admin.client import (
    AdminAddress,
    AdminIdentity,
    AdminUnknownState,
    AdminUnreachable,
    BrokerCannotUse,
    BrokerSaysNo,
    RemoteAdministration,
)
from strongroom.broker.admin.problems import BadArgument
from strongroom.pki.authority import Authority
from strongroom.pki.disk import LoosePermissions
from strongroom.ports import free_port
from strongroom.secret import Secret


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8443",
        "localhost:8443",
        "https://",
        "https://h:x",
        "https://u:p@h",
        "https://h/v1",
        "https://h?x=1",
    ],
)
def test_only_https_host_and_port_are_an_address(site, url):
    with pytest.raises(AdminAddress) as caught:
        RemoteAdministration.open(url, site.identity())
    assert caught.value.code == "SR-ADMIN-ADDRESS"


def test_an_identity_has_three_files_and_a_private_key_that_is_private(site, tmp_path):
    with pytest.raises(AdminIdentity) as caught:
        RemoteAdministration.open(site.url, tmp_path / "nowhere")
    assert caught.value.code == "SR-ADMIN-IDENTITY"
    folder = site.identity()
    (folder / "key.pem").chmod(0o644)
    with pytest.raises(LoosePermissions):
        RemoteAdministration.open(site.url, folder)


def test_a_key_that_does_not_fit_is_refused_without_being_quoted(site):
    one, other = site.identity("a"), site.identity("b")
    (one / "key.pem").write_bytes((other / "key.pem").read_bytes())
    with pytest.raises(AdminIdentity) as caught:
        RemoteAdministration.open(site.url, one)
    assert "PRIVATE" not in caught.value.sentence


def test_a_refusal_and_a_bad_request_are_told_apart_with_the_brokers_code(site):
    desk = site.desk("bob", "auditor")
    with pytest.raises(BrokerSaysNo) as refused:
        desk.create_tenant(tenant="corp")
    assert (refused.value.code, refused.value.exit_status) == ("SR-ADMIN-REFUSED", 3)
    assert "SR-ADMIN-ROLE" in refused.value.sentence
    with pytest.raises(BrokerCannotUse) as unusable:
        desk.list_keys(tenant="nobody")
    assert (unusable.value.code, unusable.value.exit_status) == ("SR-ADMIN-BAD-REQUEST", 2)
    assert "SR-UNKNOWN-TENANT" in unusable.value.sentence


def test_arguments_are_checked_before_anything_is_sent(site):
    desk = site.desk()
    with pytest.raises(BadArgument):
        desk.create_tenant(tenant="UPPER")
    with pytest.raises(BadArgument):
        desk.create_tenant(tenant="x", more=1)
    with pytest.raises(AttributeError):
        _ = desk.drop_everything


def test_a_stranger_is_told_to_present_a_certificate(site):
    with pytest.raises(BrokerSaysNo) as caught:
        site.desk_of(site.identity(register=False)).status()
    assert "SR-ADMIN-UNKNOWN" in caught.value.sentence


def test_nobody_listens(site):
    folder = site.identity()
    port = free_port()
    for name in ("status", "rewrap_keys"):
        desk = RemoteAdministration.open(f"https://127.0.0.1:{port}", folder)
        with pytest.raises(AdminUnreachable) as caught:
            desk.call(name, **({"tenant": "acme"} if name == "rewrap_keys" else {}))
        assert (caught.value.code, caught.value.exit_status) == ("SR-ADMIN-UNREACHABLE", 4)


def test_a_broker_of_another_ca_is_not_spoken_to(site):
    other = Authority.create("another CA", now=datetime.now(UTC))
    heard = []
    with hostile(other, b"", heard) as port:
        desk = RemoteAdministration.open(f"https://localhost:{port}", site.identity())
        with pytest.raises(AdminUnreachable):
            desk.put_key(tenant="acme", name="secret/db", value=Secret(b"canary-for-nobody"), expected=0)
    assert heard == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1,',
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_no_answer_of_a_broker_is_not_believed(site, authority, answer):
    with hostile(authority, answer) as port:
        desk = RemoteAdministration.open(f"https://localhost:{port}", site.identity())
        with pytest.raises(AdminUnreachable):
            desk.status()


def test_a_change_whose_answer_is_lost_may_have_been_made(site, authority):
    with hostile(authority, b"") as port:
        desk = RemoteAdministration.open(f"https://localhost:{port}", site.identity())
        with pytest.raises(AdminUnknownState) as caught:
            desk.create_tenant(tenant="corp")
        assert (caught.value.code, caught.value.exit_status) == ("SR-ADMIN-UNKNOWN-STATE", 4)


def test_a_refused_certificate_is_no_unknown_state(site):
    other = Authority.create("another CA", now=datetime.now(UTC))
    leaf = other.issue_client("alice@people.test", now=datetime.now(UTC))
    with pytest.raises(AdminUnreachable):
        site.desk_of(site.identity(leaf=leaf, register=False)).create_tenant(tenant="corp")


def test_kd_21_a_secret_is_in_no_error_of_the_client(site, authority):
    with hostile(authority, b"") as port:
        desk = RemoteAdministration.open(f"https://localhost:{port}", site.identity())
        with pytest.raises(AdminUnknownState) as caught:
            desk.put_key(tenant="acme", name="secret/db", value=Secret(b"canary-9f"), expected=0)
        assert "canary" not in repr(caught.value)
        assert "Y2FuYXJ5" not in repr(caught.value) + str(caught.value.__cause__)


@contextmanager
def hostile(authority, answer, heard=None):
    """Serve TLS with a certificate of `authority`, read one request for each connection, and answer with `answer`."""
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    from strongroom.pki.lending import as_path

    with as_path(Secret(leaf.certificate_pem)) as chain, as_path(leaf.key_pem) as key:
        context.load_cert_chain(chain, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with plain:
                try:
                    with context.wrap_socket(plain, server_side=True) as tls:
                        received = tls.recv(65536)
                        if heard is not None and received:
                            heard.append(received)
                        if b"/whoami" in received and not answer:
                            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                            tls.recv(65536)
                        tls.sendall(answer)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)
