"""The broker over real TLS with real simulated quotes: who gets the key, who does not, and what the refused can see."""

import hashlib
import json
import socket
import sqlite3
import ssl
import threading
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from OpenSSL import SSL

from strongroom.attestation import INTEL, Anchor, TcbStatus
from strongroom.broker.gramine_client import BrokerRefused
from strongroom.broker.store.opening import open_store
from strongroom.collateral import Folder
from strongroom.gramine.provisioning import REQUEST, RESPONSE
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.platforms.simulated.hardware import Rehearsal, Revocation
from strongroom.sealing import WeakKey
from strongroom.secret import Secret

ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
MODEL = "model/efficientnet-lite0/1"
ANSWER = RESPONSE + b"\x00\x00\x00\x10" + KEY
SAMPLE_KEY = bytes.fromhex("dda09c7c52359c9b" + "c4e51982b97dd7fe")  # published in the CCZoo repository


class Rehearsed:
    def __init__(self, world, **rehearsal):
        self.collateral = world.collateral(datetime.now(UTC), Rehearsal(**rehearsal))

    def collateral_for(self, quote):
        return self.collateral


# Granted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forms", [["legacy"], ["dice"], ["legacy", "dice"]], ids="+".join)
def test_a_client_with_the_right_quote_gets_exactly_gramines_bytes(broker, connect, credentials_for, forms):
    peer = connect(broker, credentials_for(forms=forms)).handshake()
    peer.send(REQUEST)
    assert peer.read_all() == (ANSWER, True)  # then close_notify
    [entry] = broker.decisions()
    assert (entry["decision"], entry["secret"], entry["rule"], entry["reasons"]) == ("granted", MODEL, "replica", [])
    assert (entry["protocol"], entry["fresh"], entry["tls"]) == ("gramine-v1", False, "TLSv1.2")
    assert entry["evidence"]["mr_enclave"] == "e1" * 32
    assert entry["evidence"]["trust_domain"] == "simulated"


def test_our_own_client_gets_the_secret(broker, replica):
    secret = broker.provision(replica)
    with secret.reveal() as raw:
        assert raw == KEY
    assert len(replica.asked) == 2  # one quote per form


@pytest.mark.parametrize("key", [ec.SECP256R1(), ec.SECP384R1()], ids=["P-256", "P-384"])
def test_fb_19_accepted_curves(broker, connect, credentials_for, key):
    peer = connect(broker, credentials_for(key=ec.generate_private_key(key))).handshake()
    peer.send(REQUEST)
    assert peer.read_all() == (ANSWER, True)


def test_a_client_of_gramine_1_3_with_rsa_3072_and_the_legacy_form_gets_the_key(broker, connect, credentials_for):
    key = rsa.generate_private_key(65537, 3072)
    peer = connect(broker, credentials_for(key=key, forms=["legacy"])).handshake()
    peer.send(REQUEST)
    assert peer.read_all() == (ANSWER, True)


def test_a_client_of_gramine_before_1_3_gets_the_key_in_hex(broker_with, connect, credentials_for, texts):
    rule_text, policy_text = texts
    with broker_with(policy_text(rule_text(extra='secret_format = "hex32z"'))) as broker:
        key = rsa.generate_private_key(65537, 3072)
        peer = connect(broker, credentials_for(key=key, forms=["legacy"])).handshake()
        peer.send(REQUEST)
        assert peer.read_all() == (RESPONSE + b"\x00\x00\x00\x21" + KEY.hex().encode() + b"\0", True)
        assert broker.decisions()[0]["decision"] == "granted"


def test_a_request_may_arrive_in_pieces(broker, connect, credentials_for):
    peer = connect(broker, credentials_for()).handshake()
    for place in range(len(REQUEST)):
        peer.send(REQUEST[place : place + 1])
    assert peer.read_all() == (ANSWER, True)


@pytest.mark.parametrize("svn", [3, 4])
def test_id_03_a_higher_svn_is_welcome(broker_with, replica_as, texts, svn):
    rule_text, policy_text = texts
    identity = f'mrsigner = "{"51" * 32}"\nisvprodid = 7\nmin_isvsvn = 3'
    with broker_with(policy_text(rule_text(identity=identity))) as broker:
        assert len(broker.provision(replica_as(isv_svn=svn))) == 16


def test_kd_12_each_build_gets_the_key_of_its_own_model(broker_with, replica, replica_as, texts):
    rule_text, policy_text = texts
    other = rule_text(name="other", release="model/other/1", identity=f'mrenclave = "{"0f" * 32}"')
    with broker_with(
        policy_text(rule_text(), other), secrets={MODEL: KEY, "model/other/1": b"another-16-bytes"}
    ) as broker:
        with broker.provision(replica_as(mr_enclave=b"\x0f" * 32)).reveal() as raw:
            assert raw == b"another-16-bytes"
        with broker.provision(replica).reveal() as raw:
            assert raw == KEY


# Refused by policy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"mr_enclave": b"\xee" * 32}, "POLICY_MRENCLAVE"), ({"debug": True}, "POLICY_DEBUG")],
)
def test_id_01_id_02_another_enclave_or_a_debug_one_gets_nothing(broker, refusal, credentials_for, changes, code):
    assert refusal(broker, credentials_for(replace(ENCLAVE, **changes))) == [code]


def test_id_03_a_lower_svn_gets_nothing(broker_with, replica_as, refusal, credentials_for, texts):
    rule_text, policy_text = texts
    identity = f'mrsigner = "{"51" * 32}"\nisvprodid = 7\nmin_isvsvn = 3'
    with broker_with(policy_text(rule_text(identity=identity))) as broker:
        assert refusal(broker, credentials_for(replica_as(isv_svn=2).identity)) == ["POLICY_ISVSVN"]


def test_simulated_evidence_gets_nothing_from_a_policy_that_names_intel_alone(
    broker_with, refusal, credentials_for, texts
):
    rule_text, policy_text = texts
    with broker_with(policy_text(rule_text(trust_domains='["intel"]'))) as broker:
        assert refusal(broker, credentials_for()) == ["SIMULATED_EVIDENCE"]


@pytest.mark.parametrize("status", [TcbStatus.OUT_OF_DATE, TcbStatus.SW_HARDENING_NEEDED, TcbStatus.REVOKED])
def test_tcb_05_a_platform_that_is_not_up_to_date_gets_nothing(broker_with, world, refusal, credentials_for, status):
    with broker_with(source=Rehearsed(world, status=status)) as broker:
        assert refusal(broker, credentials_for()) == ["POLICY_TCB_STATUS"]
        [entry] = broker.decisions()
        assert entry["evidence"]["status"] == status.value
        assert (entry["reasons"][0]["observed"], entry["reasons"][0]["expected"]) == (status.value, "UpToDate")


def test_a_rule_that_wants_fresh_evidence_refuses_gramines_protocol(broker_with, refusal, credentials_for, texts):
    rule_text, policy_text = texts
    with broker_with(policy_text(rule_text(extra="require_fresh = true"))) as broker:
        assert refusal(broker, credentials_for()) == ["EVIDENCE_NOT_FRESH"]


def test_kd_11_without_a_rule_nothing_is_released(broker_with, refusal, credentials_for):
    with broker_with("version = 1\n") as broker:
        assert refusal(broker, credentials_for()) == ["NO_RULES"]


def test_kd_11_a_missing_secret_looks_like_any_refusal(broker, refusal, credentials_for):
    broker.keyring.destroy("default", MODEL)
    assert refusal(broker, credentials_for()) == ["SR-UNKNOWN-SECRET"]


# Refused as evidence ---------------------------------------------------------------------------------------------


def test_fb_04_a_quote_made_for_another_key_gets_nothing(broker, world, refusal, credentials_for, replica):
    stolen = world.quote(replica.identity, hashlib.sha256(b"the victim's key").digest() + bytes(32))
    assert refusal(broker, credentials_for(quote=lambda _: stolen)) == ["SR-RATLS-NOT-BOUND"]


def test_fb_05_report_data_holds_nothing_behind_the_hash(broker, world, refusal, credentials_for, replica):
    def quote(report_data):
        return world.quote(replica.identity, report_data[:32] + b"\x01" * 32)

    assert refusal(broker, credentials_for(quote=quote)) == ["SR-RATLS-REPORT-DATA-TAIL"]


def test_fb_05_a_bad_new_form_is_not_saved_by_a_good_old_one(broker, world, refusal, credentials_for, replica):
    quotes = []

    def second_is_stolen(report_data):
        quotes.append(report_data)
        return world.quote(replica.identity, report_data if len(quotes) == 1 else bytes(64))

    assert refusal(broker, credentials_for(quote=second_is_stolen)) == ["SR-RATLS-NOT-BOUND"]


REFUSED_KEYS = {
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-4096": lambda: rsa.generate_private_key(65537, 4096),
    "RSA-3072, exponent 3": lambda: rsa.generate_private_key(3, 3072),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("name", REFUSED_KEYS)
def test_fb_19_other_keys_are_refused(broker, refusal, credentials_for, name):
    credentials = credentials_for(key=REFUSED_KEYS[name](), forms=["legacy"])
    assert refusal(broker, credentials) == ["SR-RATLS-KEY-TYPE"]


def test_fb_19_rsa_3072_comes_with_the_legacy_form_only(broker, refusal, credentials_for):
    key = rsa.generate_private_key(65537, 3072)
    assert refusal(broker, credentials_for(key=key)) == ["SR-RATLS-KEY-TYPE"]


def test_an_ordinary_certificate_gets_nothing(broker, refusal, credentials_for):
    assert refusal(broker, credentials_for(forms=[])) == ["SR-RATLS-NO-EVIDENCE"]


@pytest.mark.parametrize("days", [(-9, -2), (2, 9)], ids=["ended", "not yet"])
def test_fb_13_a_certificate_out_of_its_time_gets_nothing(broker, refusal, credentials_for, days):
    assert refusal(broker, credentials_for(days=days)) == ["SR-RATLS-EXPIRED"]


def test_more_than_one_certificate_gets_nothing(broker, refusal, credentials_for, owner):
    extra = x509.load_pem_x509_certificate(owner[0].certificate_pem)
    assert refusal(broker, credentials_for(extra=[extra])) == ["SR-TLS"]


def test_a_forged_quote_gets_nothing(broker, world, refusal, credentials_for, replica):
    def forged(report_data):
        quote = bytearray(world.quote(replica.identity, report_data))
        quote[112] ^= 1  # mr_enclave
        return bytes(quote)

    assert refusal(broker, credentials_for(quote=forged)) == ["SR-INVALID-QUOTE-SIGNATURE"]


@pytest.mark.parametrize("size", [128, 436, 3000])
def test_a_truncated_quote_gets_nothing(broker, refusal, credentials_for, replica, size):
    def cut(report_data):
        return replica.quote(report_data)[:size]

    [code] = refusal(broker, credentials_for(quote=cut, forms=["legacy"]))
    assert code in {"SR-QUOTE-TRUNCATED", "SR-RATLS-EVIDENCE-SIZE"}


def test_a_world_that_is_not_trusted_gets_nothing(broker, refusal, credentials_for, replica, tmp_path):
    foreign = World.create(tmp_path / "foreign", now=datetime.now(UTC))
    code = refusal(broker, credentials_for(quote=lambda data: foreign.quote(replica.identity, data)))
    assert code in (["SR-PCK-CERT-CHAIN-UNTRUSTED"], ["SR-ROOT-UNTRUSTED"], ["SR-TCB-INFO-MISMATCH"])


def test_without_its_anchor_a_simulated_platform_gets_nothing(broker_with, refusal, credentials_for):
    with broker_with(anchors=[INTEL]) as broker:
        [code] = refusal(broker, credentials_for())
        assert code in {"SR-SIMULATED-EVIDENCE", "SR-ROOT-UNTRUSTED"}


def test_a_revoked_platform_gets_nothing(broker_with, world, refusal, credentials_for):
    with broker_with(source=Rehearsed(world, revoked=frozenset({Revocation.PCK}))) as broker:
        assert refusal(broker, credentials_for()) == ["SR-PCK-REVOKED"]


def test_expired_collateral_gets_nothing(broker_with, world, refusal, credentials_for):
    with broker_with(source=Rehearsed(world, age=timedelta(days=40))) as broker:
        [code] = refusal(broker, credentials_for())
        assert code.endswith("-EXPIRED")


def test_tcb_09_collateral_older_than_a_week_needs_a_rule(broker_with, replica, refusal, credentials_for, texts):
    rule_text, policy_text = texts
    old = Rehearsed(replica.world, age=timedelta(days=8))
    with broker_with(source=old) as broker:
        assert refusal(broker, credentials_for()) == ["COLLATERAL_TOO_OLD"]
        broker.policy.write_text(policy_text(rule_text(extra="max_collateral_age_days = 30")))
        assert len(broker.provision(replica)) == 16


def test_missing_collateral_gets_nothing(broker_with, refusal, credentials_for, tmp_path):
    with broker_with(source=Folder(tmp_path / "none")) as broker:
        assert refusal(broker, credentials_for()) == ["SR-COLLATERAL-UNAVAILABLE"]


def test_a_surprise_while_judging_is_a_refusal(broker_with, refusal, credentials_for, caplog):
    class Surprise:
        def collateral_for(self, quote):
            raise ZeroDivisionError("a bug")

    with broker_with(source=Surprise()) as broker:
        assert refusal(broker, credentials_for()) == ["SR-DECISION-FAILED"]
    assert "ZeroDivisionError" in caplog.text  # the owner can report it


# Refused as a dialogue -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"SECRET_PROVISION_RA_TLS_REQUEST_V2\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        REQUEST + b"M",
        b"M" + REQUEST,
        REQUEST * 2,
        b"S" * 60_000,
    ],
    ids=["version 2", "HTTP", "extra byte", "early byte", "twice", "oversize"],
)
def test_fb_17_anything_but_the_request_gets_nothing(broker, refusal, credentials_for, request_bytes):
    [code] = refusal(broker, credentials_for(), request=request_bytes)
    assert code in {"SR-PROVISIONING-REQUEST", "SR-TLS-FLOOD"}


def test_fb_17_a_flood_ends_the_connection(broker, connect):
    peer = connect(broker)
    hello = b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc" + bytes(16380)  # a record that a handshake may begin with
    with suppress(ConnectionError):
        for _ in range(6):
            peer.socket.sendall(hello)
    assert not peer.socket.recv(100)
    wait_for_decisions(broker, 1)
    assert broker.codes()[0] in {"SR-TLS-FLOOD", "SR-TLS"}


def test_without_a_certificate_there_is_no_handshake_and_no_alert(broker, connect):
    peer = connect(broker)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        peer.handshake()
    assert peer.raw_after_handshake == b""
    wait_for_decisions(broker, 1)
    assert broker.codes() == ["SR-TLS"]


def test_bytes_that_are_no_tls_get_nothing(broker, connect):
    peer = connect(broker)
    peer.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert peer.socket.recv(100) == b""
    wait_for_decisions(broker, 1)
    assert broker.codes() == ["SR-TLS"]


def test_a_peer_that_leaves_early_is_noted(broker, connect, credentials_for):
    peer = connect(broker, credentials_for()).handshake()
    peer.send(REQUEST[:10])
    peer.close()
    wait_for_decisions(broker, 1)
    assert broker.codes() == ["SR-PEER-LEFT"]


def test_a_peer_that_says_nothing_leaves_no_line(broker, connect, replica):
    connect(broker).close()
    broker.provision(replica)
    assert [entry["decision"] for entry in broker.decisions()] == ["granted"]


def wait_for_decisions(broker, count):
    """Wait until the broker has noted what happened; its line comes before it closes, but after a peer's own end."""
    for _ in range(1000):
        if len(broker.decisions()) >= count:
            return
        threading.Event().wait(0.01)
    raise AssertionError("no decision was noted")


# TLS facts -------------------------------------------------------------------------------------------------------


def test_fb_17_tls_1_3_needs_the_option(broker, connect, credentials_for):
    peer = connect(broker, credentials_for(), version=ssl.TLSVersion.TLSv1_3)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        peer.handshake()


def test_tls_1_3_works_when_asked_for(broker_with, connect, credentials_for):
    with broker_with(tls13=True) as broker:
        peer = connect(broker, credentials_for(), version=ssl.TLSVersion.TLSv1_3).handshake()
        peer.send(REQUEST)
        assert peer.read_all() == (ANSWER, True)
        assert broker.decisions()[0]["tls"] == "TLSv1.3"


@pytest.mark.parametrize("ciphers", ["AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA384", "DHE-RSA-AES256-GCM-SHA384"])
def test_only_ecdhe_and_aead_are_spoken(broker, connect, credentials_for, ciphers):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(broker, credentials_for(), ciphers=ciphers).handshake()


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"])
def test_fb_17_suites_of_mbedtls_are_spoken_without_tickets_or_compression(broker, connect, credentials_for, ciphers):
    peer = connect(broker, credentials_for(), ciphers=ciphers).handshake()
    assert peer.tls.cipher()[0] == ciphers
    assert peer.tls.compression() is None
    assert not peer.tls.session.has_ticket


def test_fb_12_a_session_is_not_renegotiated(broker, credentials_for, owner):
    credentials = credentials_for()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate_file(str(credentials.certificate_path))
    context.use_privatekey_file(str(credentials.key_path))
    with socket.create_connection(("localhost", broker.port)) as raw:
        raw.setblocking(True)
        connection = SSL.Connection(context, raw)
        connection.set_connect_state()
        connection.do_handshake()
        connection.renegotiate()
        with pytest.raises(SSL.Error):
            connection.do_handshake()


# Ledger and policy -----------------------------------------------------------------------------------------------


def test_sa_11_the_line_is_there_when_the_secret_arrives(broker, connect, credentials_for):
    peer = connect(broker, credentials_for()).handshake()
    peer.send(REQUEST)
    peer.read_all()
    with closing(open_store(broker.folder / "broker.db")) as another:  # what is on the disk, for another process
        found = another.read(lambda tx: tx.execute("SELECT line FROM ledger_lines ORDER BY seq DESC LIMIT 1"))
    [entry] = broker.decisions()
    assert json.loads(found[0][0]) == entry
    assert broker.ledger.head().seq >= entry["seq"]


def test_sa_11_without_a_durable_line_nothing_is_released(broker, replica, caplog):
    broker.provision(replica)
    with closing(sqlite3.connect(broker.folder / "broker.db", isolation_level=None)) as greedy:
        greedy.execute("BEGIN IMMEDIATE")  # nobody else can write
        with pytest.raises(BrokerRefused):
            broker.provision(replica, timeout_s=60)
        greedy.execute("ROLLBACK")
    assert "NOT released" in caplog.text
    assert len(broker.decisions()) == 1
    assert len(broker.provision(replica)) == 16  # and comes back by itself


def test_pl_07_a_platform_is_named_by_a_keyed_hash(broker, replica, world, caplog):
    broker.provision(replica)
    broker.provision(replica)
    text = "".join(map(str, broker.ledger.entries()))
    first, second = (entry["evidence"]["platform"] for entry in broker.decisions())
    assert first == second
    assert world.hardware.ppid.hex() not in text.lower() + caplog.text.lower()


def test_id_04_a_broken_policy_edit_keeps_the_last_good_one_and_says_so_once(broker, replica, caplog, texts):
    good = broker.policy.read_text()
    broker.policy.write_text(good.replace("allow", "alow") + "surprise = 1\n[[")
    for _ in range(3):
        broker.provision(replica)
    assert caplog.text.count("POLICY NOT TAKEN") == 1
    problems = [entry["problem"] for entry in broker.entries("policy")]
    assert len(problems) == 2  # at the start, and the broken edit
    assert problems[0] is None
    assert "TOML" in problems[1]
    broker.policy.write_text("version = 1\n")
    with pytest.raises(BrokerRefused):
        broker.provision(replica)
    assert "0 rules are in force" in caplog.text


def test_kd_13_a_removed_rule_acts_on_the_next_connection(broker, replica, texts):
    broker.provision(replica)
    broker.policy.write_text("version = 1\n")
    with pytest.raises(BrokerRefused) as refused:
        broker.provision(replica)
    assert refused.value.code == "SR-BROKER-REFUSED"


@pytest.mark.parametrize("weak", [SAMPLE_KEY, bytes(16)], ids=["published sample", "all zero"])
def test_kd_02_a_weak_key_is_refused_at_the_start_and_at_release(broker_with, replica, weak):
    with pytest.raises(WeakKey), broker_with(keyring=Weak(weak)):
        pass
    keyring = Weak(KEY)
    with broker_with(keyring=keyring) as broker:
        keyring.key = weak
        with pytest.raises(BrokerRefused):
            broker.provision(replica)
        assert broker.codes() == ["SR-WEAK-KEY"]


class Weak:
    """A keyring that lets itself be filled with anything, as a seed user's key file does."""

    def __init__(self, key):
        self.key = key

    def get(self, tenant, name):
        return Secret(self.key)

    def find(self, tx, tenant, name):
        return Secret(self.key)

    def take_over(self, name):
        return False


def test_a_secret_that_is_published_later_is_only_reported_at_the_start(broker_with, caplog, replica):
    with broker_with(secrets={}) as broker:
        assert "SR-UNKNOWN-SECRET" in caplog.text
        broker.keyring.put("default", MODEL, Secret(KEY), "test")
        assert len(broker.provision(replica)) == 16


def test_a_policy_without_the_simulated_anchor_starts_without_a_banner(broker_with, caplog):
    with broker_with(anchors=[INTEL]):
        pass
    assert "SIMULATED" not in caplog.text


def test_the_simulated_anchor_is_announced(broker_with, world, caplog):
    with broker_with(anchors=[Anchor.from_certificate(world.root_der)]):
        pass
    assert "SIMULATED platforms are trusted here" in caplog.text
