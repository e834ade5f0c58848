"""RA-TLS over real sockets: both ends prove themselves, in both forms, with every accepted key; nobody else does."""

import hashlib
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from strongroom.attestation import Anchor, verify
from strongroom.errors import Tampered
from strongroom.pki import ratls, tagged_evidence
from strongroom.pki.attested_tls import attested_context, peer_evidence, peer_identity
from strongroom.pki.authority import Authority
from strongroom.pki.ratls import DICE_OID, LEGACY_OID, Form, spki_of
from strongroom.pki.tagged_evidence import TaggedEvidence
from strongroom.platforms.simulated import EnclaveIdentity, World

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
SERVER = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
CLIENT = EnclaveIdentity(mr_enclave=b"\xe2" * 32, mr_signer=b"\x51" * 32, isv_prod_id=8, isv_svn=1)


def now():
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=now())


@dataclass
class End:
    """What one end found out: the peer's evidence, or the error."""

    outcome: object = None
    heard: bytes = b""


def talk(connection, judge, end, say):
    """Finish the handshake, judge the peer, and only then exchange a word."""
    try:
        connection.do_handshake()
        end.outcome = judge(connection)
        connection.sendall(say)
        end.heard = connection.recv(64)
        connection.shutdown()
    except (Tampered, SSL.Error) as problem:
        end.outcome = end.outcome or problem
    finally:
        with suppress(OSError):  # the other end may be gone already
            connection.sock_shutdown(socket.SHUT_RDWR)


@pytest.fixture
def meet():
    """Let a server and a client meet over loopback; return what each found out."""

    def run(server_context, client_context, *, judge_client, judge_server, session=None):
        server, client = End(), End()
        with socket.create_server(("127.0.0.1", 0)) as ear:

            def serve():
                accepted, _ = ear.accept()
                with accepted:
                    connection = SSL.Connection(server_context, accepted)
                    connection.set_accept_state()
                    talk(connection, judge_client, server, b"from the server")

            thread = threading.Thread(target=serve)
            thread.start()
            with socket.create_connection(ear.getsockname()) as plain:
                connection = SSL.Connection(client_context, plain)
                connection.set_connect_state()
                if session is not None:
                    connection.set_session(session)
                talk(connection, judge_server, client, b"from the client")
            thread.join()
        return server, client

    return run


def judging(**options):
    return lambda connection: peer_evidence(connection, at=now(), **options)


@pytest.fixture
def proof(world):
    """Return the certificate of a program on the simulated platform, for a key and forms."""

    def make(key, identity, forms=None, **options):
        return ratls.make_certificate(
            key, lambda report_data: world.quote(identity, report_data),
            forms=forms, not_before=now() - timedelta(minutes=1), not_after=now() + timedelta(hours=1), **options,
        )  # fmt: skip

    return make


@pytest.mark.parametrize("tls13", [False, True], ids=["tls1.2", "tls1.3"])
@pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind in KINDS for form in Form])
def test_both_ends_prove_themselves(meet, proof, world, kind, form, tls13):  # noqa: PLR0917  # three are parameters
    key = KEYS[kind]
    other = ec.generate_private_key(ec.SECP384R1())
    server, client = meet(
        attested_context(server=True, certificate=proof(key, SERVER, [form]), private_key=key, tls13=tls13),
        attested_context(server=False, certificate=proof(other, CLIENT), private_key=other, tls13=tls13),
        judge_client=judging(),
        judge_server=judging(allow_rsa=True),
    )
    assert (client.heard, server.heard) == (b"from the server", b"from the client"), (client.outcome, server.outcome)
    assert (client.outcome.form, client.outcome.spki) == (form, spki_of(key))
    anchors = [Anchor.from_certificate(world.root_der)]
    for evidence, identity in ((client.outcome, SERVER), (server.outcome, CLIENT)):
        verdict = verify(evidence.quote, world.collateral(now()), anchors=anchors, at=now())
        assert verdict.body.mr_enclave == identity.mr_enclave
        assert verdict.body.report_data == evidence.report_data


def test_an_rsa_client_of_gramine_1_3_is_served(meet, proof):
    key, own = KEYS["rsa-3072"], KEYS["p-384"]
    server, client = meet(
        attested_context(server=True, certificate=proof(own, SERVER), private_key=own, tls13=False),
        attested_context(server=False, certificate=proof(key, CLIENT), private_key=key),
        judge_client=judging(), judge_server=judging(),
    )  # fmt: skip
    assert server.outcome.form is Form.LEGACY
    assert client.heard == b"from the server"


def test_rsa_in_the_newer_form_has_to_be_allowed(meet, proof):
    key, own = KEYS["rsa-3072"], KEYS["p-384"]
    _, client = meet(
        attested_context(server=True, certificate=proof(key, SERVER, [Form.DICE]), private_key=key),
        attested_context(server=False, certificate=proof(own, CLIENT), private_key=own),
        judge_client=judging(), judge_server=judging(),
    )  # fmt: skip
    assert client.outcome.code == "SR-RATLS-KEY-TYPE"
    assert client.heard == b""


def test_fb_04_a_certificate_without_its_key_does_not_get_through_the_handshake(proof):
    theirs, mine = KEYS["p-384"], ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(SSL.Error):
        attested_context(server=False, certificate=proof(theirs, CLIENT), private_key=mine)


def test_fb_04_the_live_key_counts_and_not_the_certificates_word(meet, proof):
    """A TLS library that took its key from elsewhere than the certificate that we read would be noticed."""
    own, other = KEYS["p-384"], KEYS["p-256"]

    def judge(connection):
        certificate, live_key = peer_identity(connection)
        assert live_key == spki_of(own)
        ratls.open_certificate(certificate, at=now(), live_key=live_key)
        return ratls.open_certificate(certificate, at=now(), live_key=spki_of(other))

    _, client = meet(
        attested_context(server=True, certificate=proof(own, SERVER), private_key=own),
        attested_context(server=False, certificate=proof(other, CLIENT), private_key=other),
        judge_client=judging(), judge_server=judge,
    )  # fmt: skip
    assert client.outcome.code == "SR-RATLS-LIVE-KEY"


@pytest.fixture
def attack(meet, proof, forge_now):
    """Let a server present a forged certificate; return why the client hung up before it said anything."""

    def run(key, certificate, **options):
        own = KEYS["p-384"]
        server, client = meet(
            attested_context(server=True, certificate=certificate, private_key=key),
            attested_context(server=False, certificate=proof(own, CLIENT), private_key=own),
            judge_client=judging(), judge_server=judging(**options),
        )  # fmt: skip
        assert server.heard == b""
        return client.outcome.code

    return run


@pytest.fixture
def forge_now(forge):
    forge.now = now()
    return forge


def test_fb_05_rules_hold_over_a_connection(attack, forge_now, world):
    key, victim = KEYS["p-384"], ec.generate_private_key(ec.SECP384R1())

    def quoted(bound, tail=bytes(32)):
        return world.quote(SERVER, hashlib.sha256(bound).digest() + tail)

    def tagged(claims, bound=None):
        return DICE_OID, tagged_evidence.encode(TaggedEvidence(quoted(bound or claims), claims))

    def certificate(*extensions, **options):
        return forge_now.certificate(key, list(extensions), **options)

    good = (LEGACY_OID, quoted(spki_of(key)))
    own, stolen = (tagged_evidence.claims_for(spki_of(each)) for each in (key, victim))
    nonce_only = bytes.fromhex("a1656e6f6e636541") + b"n"
    past = {"not_before": now() - timedelta(days=2), "not_after": now() - timedelta(days=1)}
    cases = {
        "SR-RATLS-NO-EVIDENCE": certificate(),
        "SR-RATLS-EXPIRED": certificate(good, **past),
        "SR-RATLS-NOT-BOUND": certificate((LEGACY_OID, quoted(spki_of(victim)))),
        "SR-RATLS-REPORT-DATA-TAIL": certificate((LEGACY_OID, quoted(spki_of(key), b"\x01" + bytes(31)))),
        "SR-RATLS-KEY-HASH": certificate(good, tagged(stolen)),
        "SR-RATLS-NO-KEY-HASH": certificate(good, tagged(nonce_only)),
        "SR-RATLS-CLAIMS": certificate(good, tagged(own + b"\x00")),
        "SR-RATLS-TAGGED-EVIDENCE": certificate(good, (DICE_OID, bytes(500))),
        "SR-RATLS-QUOTE": certificate((LEGACY_OID, b"\x09" + bytes(500))),
        "SR-RATLS-EVIDENCE-SIZE": certificate((LEGACY_OID, bytes(9000))),
        "SR-RATLS-SELF-SIGNATURE": forge_now.certificate(key, [good], signer=victim),
    }
    assert {code: attack(key, der) for code, der in cases.items()} == {code: code for code in cases}
    assert attack(key, certificate(tagged(own, bound=stolen))) == "SR-RATLS-NOT-BOUND"


def test_a_nonce_that_was_sent_ahead_must_be_answered(attack, meet, proof):
    key = KEYS["p-384"]
    assert attack(key, proof(key, SERVER, nonce=b"m" * 32), nonce=b"n" * 32) == "SR-RATLS-NONCE"
    server, client = meet(
        attested_context(server=True, certificate=proof(key, SERVER, nonce=b"n" * 32), private_key=key),
        attested_context(server=False, certificate=proof(key, CLIENT), private_key=key),
        judge_client=judging(), judge_server=judging(nonce=b"n" * 32),
    )  # fmt: skip
    assert (server.heard, client.heard) == (b"from the client", b"from the server")


def test_an_ordinary_certificate_proves_nothing(attack):
    authority = Authority.create("test owner", now=now())
    leaf = authority.issue_server(["localhost"], now=now())
    with leaf.key_pem.reveal() as raw:
        key = ratls_key(bytes(raw))
    der = pem_to_der(leaf.certificate_pem)
    assert attack(key, der) in {"SR-RATLS-SELF-SIGNATURE", "SR-RATLS-NO-EVIDENCE", "SR-RATLS-KEY-TYPE"}


def ratls_key(pem):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, None)


def pem_to_der(pem):
    from cryptography import x509

    return x509.load_pem_x509_certificates(pem)[0].public_bytes(ratls.Encoding.DER)


def test_more_than_one_certificate_is_refused(meet, proof):
    from cryptography import x509

    key = KEYS["p-384"]
    context = attested_context(server=True, certificate=proof(key, SERVER), private_key=key)
    context.add_extra_chain_cert(x509.load_der_x509_certificate(proof(KEYS["p-256"], SERVER)))
    _, client = meet(
        context, attested_context(server=False, certificate=proof(key, CLIENT), private_key=key),
        judge_client=judging(), judge_server=judging(),
    )  # fmt: skip
    assert client.outcome.code == "SR-RATLS-PEER"


@pytest.mark.parametrize("tls13", [False, True])
def test_a_client_without_certificate_does_not_get_in(meet, proof, tls13):
    key = KEYS["p-384"]
    server, client = meet(
        attested_context(server=True, certificate=proof(key, SERVER), private_key=key, tls13=tls13),
        attested_context(server=False, tls13=tls13),
        judge_client=judging(), judge_server=judging(),
    )  # fmt: skip
    assert isinstance(server.outcome, SSL.Error)
    assert (server.heard, client.heard) == (b"", b"")


def test_a_handshake_that_is_not_finished_proves_nothing():
    connection = SSL.Connection(attested_context(server=False), None)
    with pytest.raises(Tampered) as caught:
        peer_evidence(connection, at=now())
    assert caught.value.code == "SR-RATLS-PEER"


@pytest.mark.parametrize("tls13", [False, True], ids=["tls1.2", "tls1.3"])
def test_fb_12_nothing_is_resumed(meet, proof, tls13):
    key = KEYS["p-384"]
    server = attested_context(server=True, certificate=proof(key, SERVER), private_key=key, tls13=tls13)
    client = attested_context(server=False, certificate=proof(key, CLIENT), private_key=key, tls13=tls13)
    connections, reused = [], []

    def judge(connection):
        reused.append(SSL._lib.SSL_session_reused(connection._ssl))
        connections.append(connection)
        return peer_evidence(connection, at=now())

    meet(server, client, judge_client=judging(), judge_server=judge)
    session = connections[0].get_session()  # at the end: TLS 1.3 hands its tickets out with the data
    meet(server, client, judge_client=judging(), judge_server=judge, session=session)
    assert reused == [0, 0]
