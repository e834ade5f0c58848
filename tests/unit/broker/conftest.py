"""A simulated world with real quotes, an owner's rules on disk, and a broker that listens on loopback."""

import asyncio
import base64
import hashlib
import itertools
import logging
import socket
import ssl
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from strongroom.attestation import INTEL, Anchor, parse_quote, verify
from strongroom.broker.gramine_client import provision
from strongroom.broker.gramine_server import BrokerServer, ServerLimits
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.recorder import EvidenceRecorder
from strongroom.broker.service import ReleaseService
from strongroom.broker.store.opening import open_store
from strongroom.broker.tls import server_context
from strongroom.gramine.provisioning import REQUEST
from strongroom.pki import ratls
from strongroom.pki.authority import Authority
from strongroom.pki.disk import AlreadyThere
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
ROOT_KEY = bytes(range(100, 132))
MODEL = "model/efficientnet-lite0/1"
BROKER_NAMES = ["localhost", "127.0.0.1", "attestation.service.com"]
ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)


@dataclass
class SimulatedReplica:
    """A platform that vouches for one identity, and remembers what it was asked."""

    world: World
    identity: EnclaveIdentity = ENCLAVE
    asked: list = field(default_factory=list)

    def quote(self, report_data):
        self.asked.append(report_data)
        return self.world.quote(self.identity, report_data)


@dataclass
class MemoryCollateral:
    """Collateral as the world reports it; tests swap it to rehearse bad news."""

    collateral: object

    def collateral_for(self, quote):
        return self.collateral

    def at_hand(self, quote):
        return self.collateral


def rule_text(*, name="replica", release=MODEL, trust_domains='["simulated"]', extra="", identity=None):
    identity = identity or f'mrenclave = "{ENCLAVE.mr_enclave.hex()}"'
    return f'[[rule]]\nname = "{name}"\n{identity}\ntrust_domains = {trust_domains}\nrelease = "{release}"\n{extra}\n'


def policy_text(*rules):
    return "version = 1\n" + "".join(rules or (rule_text(),))


@dataclass
class Broker:
    """A broker that runs in a thread of its own, with everything a test may want to look at."""

    folder: Path
    ca: Authority
    store: object = None
    keyring: Keyring | None = None
    ledger: Ledger | None = None
    policies: Policies | None = None
    service: ReleaseService | None = None
    port: int = 0
    server: BrokerServer | None = None

    @property
    def policy(self):
        return self.folder / "policy.toml"

    def provision(self, platform, **options):
        options = {"ca_pem": self.ca.certificate_pem, "timeout_s": 20, **options}
        return provision("localhost", self.port, platform=platform, **options)

    def decisions(self):
        return self.entries("decision")

    def entries(self, kind):
        return [entry for entry in self.ledger.entries() if entry["kind"] == kind]

    def codes(self):
        return [reason["code"] for entry in self.decisions() for reason in entry["reasons"]]


@pytest.fixture(scope="session")
def owner():
    """An authority and the certificate that it issued for the broker."""
    authority = Authority.create("test owner", now=datetime.now(UTC))
    return authority, authority.issue_server(BROKER_NAMES, now=datetime.now(UTC))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=datetime.now(UTC))


@pytest.fixture(scope="session")
def collateral(world):
    return world.collateral(datetime.now(UTC))


@pytest.fixture
def replica(world):
    return SimulatedReplica(world)


@pytest.fixture
def replica_as(world):
    """A replica whose identity differs in the given fields."""
    return lambda **changes: SimulatedReplica(world, replace(ENCLAVE, **changes))


@pytest.fixture
def verdict_of(world, collateral):
    """A verdict on a fresh quote of an identity, under the world's anchor."""

    def judge(identity=ENCLAVE, **changes):
        now = datetime.now(UTC)
        quote = world.quote(replace(identity, **changes), bytes(64))
        assert parse_quote(quote)
        return verify(quote, collateral, anchors=[Anchor.from_certificate(world.root_der)], at=now)

    return judge


@pytest.fixture
def broker_with(tmp_path, owner, world, collateral, caplog):
    """Start brokers; every one is stopped, and its ledger verified, when the test ends."""
    caplog.set_level(logging.DEBUG, logger="strongroom.broker")

    @contextmanager
    def run(policy=None, *, secrets=None, limits=None, tls13=False, anchors=None, source=None, record=None, **options):
        authority, identity_of_broker = owner
        broker = Broker(tmp_path, authority, store=open_store(tmp_path / "broker.db"))
        broker.policy.write_text(policy_text() if policy is None else policy)
        context = server_context(identity_of_broker.certificate_pem, identity_of_broker.key_pem, tls13=tls13)
        with closing(broker.store):
            broker.keyring = Keyring(broker.store, LocalRoot(Secret(ROOT_KEY), "of the test"))
            for name, value in ({MODEL: KEY} if secrets is None else secrets).items():
                with suppress(AlreadyThere):  # a broker that starts again
                    broker.keyring.put("default", name, Secret(value), "test")
            broker.ledger = Ledger(broker.store, broker.keyring.signing_key())
            broker.policies = Policies(broker.store, WatchedPolicy(broker.policy))
            broker.service = ReleaseService(
                store=broker.store,
                policies=broker.policies,
                keyring=options.pop("keyring", broker.keyring),
                ledger=broker.ledger,
                source=source or MemoryCollateral(collateral),
                anchors=anchors if anchors is not None else [INTEL, Anchor.from_certificate(world.root_der)],
                recorder=EvidenceRecorder(record) if record else None,
                **options,
            )
            broker.service.begin()
            broker.server = BrokerServer(broker.service, context, limits=limits or ServerLimits(linger_s=0.2))
            with in_a_thread(broker):
                yield broker
            broker.service.close()
            broker.ledger.verify()

    return run


@contextmanager
def in_a_thread(broker):
    """Run the broker's event loop beside the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    try:
        broker.port = do(broker.server.start("127.0.0.1", 0))
        yield
        do(broker.server.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@pytest.fixture
def broker(broker_with):
    with broker_with() as running:
        yield running


@pytest.fixture
def texts():
    """The builders of policy texts, for tests in this folder."""
    return rule_text, policy_text


@dataclass
class Credentials:
    """What a peer presents: files, since the standard library and openssl take nothing else."""

    folder: Path
    certificates: list
    key: object

    def __post_init__(self):
        self.folder.mkdir(exist_ok=True)
        self.certificate_path, self.key_path = self.folder / "peer.pem", self.folder / "peer.key"
        ders = (der if isinstance(der, bytes) else der.public_bytes(Encoding.DER) for der in self.certificates)
        self.certificate_path.write_text("".join(ssl.DER_cert_to_PEM_cert(der) for der in ders))
        self.key_path.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


class StdlibPeer:
    """A client that shares no TLS code with the broker, and keeps every byte that it received after its handshake."""

    def __init__(self, port, credentials, ca_pem, *, version=ssl.TLSVersion.TLSv1_2, ciphers=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python before 3.11.4 sets it
        context.load_verify_locations(cadata=ca_pem.decode())
        context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
        if credentials:
            context.load_cert_chain(credentials.certificate_path, credentials.key_path)
        self.raw_after_handshake, self.was_reset = b"", False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self.socket = socket.create_connection(("localhost", port), timeout=30)

    def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                if not self._fill():
                    raise ConnectionError("closed during the handshake") from None
            else:
                self.flush()
                return self

    def flush(self):
        data = self._outgoing.read()
        if data:
            with suppress(ConnectionError):
                self.socket.sendall(data)

    def _fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data, self.was_reset = b"", True
        self._incoming.write(data) if data else self._incoming.write_eof()
        return data

    def send(self, data):
        self.tls.write(data)
        self.flush()

    def read_all(self):
        """Return the plaintext up to the end, and whether it ended with close_notify."""
        plain = b""
        while True:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.raw_after_handshake += self._fill()
                continue
            except ssl.SSLZeroReturnError:
                return plain, True
            except ssl.SSLError as end:
                if not isinstance(end, ssl.SSLEOFError) and end.reason != "UNEXPECTED_EOF_WHILE_READING":
                    raise
                return plain, False
            if not piece:
                return plain, True
            plain += piece

    def close(self):
        self.socket.close()


def self_signed(key, quote, start, end):
    """An RA-TLS certificate of the legacy form for a key that our own maker does not take."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "RATLS")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, end)
    evidence = x509.UnrecognizedExtension(ratls.LEGACY_OID, quote(hashlib.sha256(spki).digest() + bytes(32)))
    return builder.add_extension(evidence, critical=False).sign(key, None)


@pytest.fixture
def credentials_for(world, tmp_path):
    """Make an RA-TLS certificate of any shape and the files of a peer that presents it."""
    numbers = itertools.count()

    def make(identity=ENCLAVE, *, key=None, quote=None, forms=("legacy", "dice"), days=(-1, 1), extra=()):
        key = key or ratls.generate_key()
        quote = quote or (lambda report_data: world.quote(identity, report_data))
        start, end = (datetime.now(UTC) + timedelta(days=offset) for offset in days)
        if isinstance(key, ed25519.Ed25519PrivateKey):
            der = self_signed(key, quote, start, end)
        else:
            forms = [ratls.Form(form) for form in forms]
            der = ratls.make_certificate(key, quote, forms=forms, not_before=start, not_after=end)
        return Credentials(tmp_path / f"peer-{next(numbers)}", [der, *extra], key)

    return make


@pytest.fixture
def connect(owner):
    """Connect the standard library's TLS to a broker; every socket is closed at the end of the test."""
    peers = []

    def run(broker, credentials=None, **options):
        peer = StdlibPeer(broker.port, credentials, owner[0].certificate_pem, **options)
        peers.append(peer)
        return peer

    yield run
    for peer in peers:
        peer.close()


@pytest.fixture
def refusal(connect, caplog):
    """Present credentials (and a request), and check what holds for every refusal; return the one code of it."""

    def run(broker, credentials, request=REQUEST):
        before = len(broker.decisions())
        peer = connect(broker, credentials).handshake()
        peer.send(request)
        assert peer.read_all() == (b"", False)
        assert peer.raw_after_handshake == b""  # not an alert, not a byte: a closed connection,
        assert not peer.was_reset  # and closed in one way, whatever the reason
        [entry] = broker.decisions()[before:]
        assert entry["decision"] == "denied"
        assert entry["secret"] is None
        assert entry["id"] in caplog.text
        assert all(reason["fix"] for reason in entry["reasons"])
        return [reason["code"] for reason in entry["reasons"]]

    return run


@pytest.fixture(autouse=True)
def no_secret_anywhere(tmp_path, caplog):
    """No test of this room leaves a byte of the released key in a log or in a file."""
    yield
    written = caplog.text.encode() + b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for shape in (KEY, KEY.hex().encode(), KEY.hex().upper().encode(), base64.b64encode(KEY), repr(KEY).encode()):
        assert shape not in written
