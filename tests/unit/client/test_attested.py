"""A client that judges a server by its RA-TLS certificate, over real sockets, before it says anything."""

import json
import socket
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from strongroom.cli.frame import main
from strongroom.client.attested import AttestedConnection
from strongroom.client.connection import ServerUnreachable
from strongroom.errors import Tampered
from strongroom.pki import ratls
from strongroom.pki.attested_tls import attested_context, peer_evidence
from strongroom.pki.ratls import Form, spki_of
from strongroom.platforms.simulated import EnclaveIdentity, World

ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
KINDS = {
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "p-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p-384": lambda: ec.generate_private_key(ec.SECP384R1()),
}


class Keys(dict):
    """A key of each kind, made when a test first asks for it: who only collects the tests needs none."""

    def __missing__(self, kind):
        return self.setdefault(kind, KINDS[kind]())


KEYS = Keys()


def now():
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=now())


@pytest.fixture
def proof(world):
    def make(key, **options):
        dates = {"not_before": now() - timedelta(minutes=1), "not_after": now() + timedelta(hours=1)}
        return ratls.make_certificate(key, lambda data: world.quote(ENCLAVE, data), **{**dates, **options})

    return make


def echo(context, accepted, judge, heard):
    """Answer what is said, once the peer is judged; remember it."""
    connection = SSL.Connection(context, accepted)
    connection.set_accept_state()
    with suppress(SSL.Error, Tampered):
        connection.do_handshake()
        judge(connection)
        while data := connection.recv(65536):
            heard.append(data)
            connection.sendall(data)


@pytest.fixture
def server(proof):
    """An RA-TLS server on loopback; gives its port and what it heard."""

    @contextmanager
    def run(key=KEYS["p-384"], certificate=None, *, mutual=False):
        context = attested_context(server=True, certificate=certificate or proof(key), private_key=key)
        if not mutual:
            context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        judge = (lambda connection: peer_evidence(connection, at=now())) if mutual else (lambda _: None)
        heard = []
        with socket.create_server(("127.0.0.1", 0)) as ear:

            def serve():
                with suppress(OSError):
                    accepted, _ = ear.accept()
                    with accepted:
                        echo(context, accepted, judge, heard)

            thread = threading.Thread(target=serve)
            thread.start()
            yield ear.getsockname()[1], heard
            ear.close()
            thread.join()

    return run


@pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind in KINDS for form in Form])
def test_a_server_is_judged_and_then_talked_to(server, proof, kind, form):
    key = KEYS[kind]
    with (
        server(key, proof(key, forms=[form])) as (port, _),
        AttestedConnection("127.0.0.1", port, allow_rsa=True) as peer,
    ):
        assert (peer.evidence.form, peer.evidence.spki) == (form, spki_of(key))
        said = b"x" * 40_000
        peer.send(said)
        back = b""
        while len(back) < len(said):
            back += peer.receive()
        assert back == said


def talk_to(port):
    """Say something without a proof of ours: in TLS 1.3 the refusal comes after our side of the handshake."""
    with AttestedConnection("127.0.0.1", port) as peer:
        peer.send(b"hello")
        peer.receive()


def test_a_server_may_ask_who_is_there(server, proof):
    key = KEYS["p-256"]
    with server(mutual=True) as (port, heard):
        with AttestedConnection("127.0.0.1", port, identity=(proof(key), key)) as peer:
            peer.send(b"hello")
            assert peer.receive() == b"hello"
        assert heard == [b"hello"]
    with server(mutual=True) as (port, heard), pytest.raises((Tampered, ServerUnreachable)):
        talk_to(port)
    assert heard == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"not_after": now() - timedelta(days=1), "not_before": now() - timedelta(days=2)}, "SR-RATLS-EXPIRED"),
        ({"forms": []}, "SR-RATLS-NO-EVIDENCE"),
    ],
)
def test_fb_09_nothing_is_said_to_a_server_that_proves_nothing(server, proof, options, code):
    key = KEYS["p-384"]
    with server(key, proof(key, **options)) as (port, heard):
        with pytest.raises(Tampered) as caught:
            AttestedConnection("127.0.0.1", port)
        assert caught.value.code == code
    assert heard == []


def test_fb_04_a_quote_for_another_key_is_refused(server, proof, world):
    key, victim = KEYS["p-384"], KEYS["p-256"]
    stolen = world.quote(ENCLAVE, ratls._report_data(spki_of(victim)))
    certificate = ratls.make_certificate(
        key, lambda _: stolen, not_before=now() - timedelta(hours=1), not_after=now() + timedelta(hours=1)
    )
    with server(key, certificate) as (port, heard):
        with pytest.raises(Tampered) as caught:
            AttestedConnection("127.0.0.1", port)
        assert caught.value.code == "SR-RATLS-NOT-BOUND"
    assert heard == []


@pytest.fixture
def plain_server():
    """Says `greeting` to whoever comes, and hangs up or not."""

    @contextmanager
    def run(greeting, *, hang_up=True):
        with socket.create_server(("127.0.0.1", 0)) as ear:

            def serve():
                accepted, _ = ear.accept()
                with accepted, suppress(OSError):
                    accepted.recv(65536)
                    for _ in range(200 if len(greeting) > 1000 else 1):
                        accepted.sendall(greeting)
                    if not hang_up:
                        accepted.recv(1)

            thread = threading.Thread(target=serve)
            thread.start()
            yield ear.getsockname()[1]
            thread.join()

    return run


def test_servers_that_speak_no_tls_are_named(plain_server):
    with plain_server(b"SSH-2.0-OpenSSH\r\n") as port, pytest.raises(Tampered) as caught:
        AttestedConnection("127.0.0.1", port)
    assert caught.value.code == "SR-RATLS-CHANNEL"


def test_an_endless_handshake_is_cut_off(plain_server):
    record = b"\x16\x03\x03\x40\x00" + b"\x02\x00\xff\xff" + bytes(16380)
    with plain_server(record) as port, pytest.raises(Tampered) as caught:
        AttestedConnection("127.0.0.1", port)
    assert caught.value.code == "SR-RATLS-CHANNEL"


def test_servers_that_hang_up_or_stay_silent_are_unreachable(plain_server):
    with plain_server(b"") as port, pytest.raises(ServerUnreachable, match="closed the connection"):
        AttestedConnection("127.0.0.1", port)
    with plain_server(b"", hang_up=False) as port, pytest.raises(ServerUnreachable):
        AttestedConnection("127.0.0.1", port, timeout_s=0.2)
    with pytest.raises(ServerUnreachable):
        AttestedConnection("127.0.0.1", 9, timeout_s=2)


@pytest.fixture
def command(world, tmp_path):
    """Write the world's collateral and root; give the command line for a port."""
    (tmp_path / "collateral.json").write_text(world.collateral(now()).to_json(), encoding="utf-8")
    (tmp_path / "root.der").write_bytes(world.root_der)

    def words(port, *more):
        files = ["--collateral", str(tmp_path / "collateral.json"), "--root", str(tmp_path / "root.der")]
        return ["ratls", "verify", f"127.0.0.1:{port}", *files, *more]

    return words


def test_the_verb_says_what_a_server_proves(server, command, capsys, tmp_path):
    with server() as (port, heard):
        assert main(command(port, "--quote-out", str(tmp_path / "quote"))) == 0
    shown = capsys.readouterr().out
    assert "e1" * 32 in shown
    assert "bound to the key of the live handshake (form: dice)" in shown
    assert (tmp_path / "quote").stat().st_size > 1000
    assert heard == []


def test_the_verbs_object_for_machines(server, command, capsys):
    key = KEYS["rsa-3072"]
    with server(key) as (port, _):
        assert main(command(port, "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["ratls"] == {"form": "legacy", "live_key_compared": True}
    assert shown["trust_domain"] == "simulated"


def test_the_verb_refuses_what_does_not_hold(server, proof, command, capsys):
    with server(KEYS["p-384"], proof(KEYS["p-384"], forms=[])) as (port, _):
        assert main(command(port)) == 3
    assert "SR-RATLS-NO-EVIDENCE" in capsys.readouterr().err
    words = command(1)
    for wrong in ("localhost", "localhost:", ":1", "localhost:0", "localhost:99999", "localhost:http"):
        assert main([*words[:2], wrong, *words[3:]]) == 1


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0", "3601", "soon"])
def test_a_timeout_is_a_number_of_seconds(seconds, command, capsys):
    assert main(command(9, "--timeout", seconds)) == 1
    assert "[SR-MISUSE]" in capsys.readouterr().err
