"""A broker that speaks KBS on loopback, and a client written from the protocol's text alone, without our code."""

import asyncio
import base64
import hashlib
import http.client
import http.cookiejar
import json
import logging
import ssl
import struct
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation import INTEL, Anchor
from strongroom.broker.kbs_client import obtain
from strongroom.broker.kbs_http import kbs_application
from strongroom.broker.kbs_rates import KbsRates
from strongroom.broker.kbs_service import KbsService
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot, new_root_key
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.names import SecretName
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.service import ReleaseService
from strongroom.broker.store.opening import open_store
from strongroom.broker.web.server import WebLimits, WebServer, tls_context
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret

MODEL = "model/efficientnet-lite0/1"
PATH = "default/model/efficientnet-lite0.1"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
OTHER_KEY = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
PREFIX = "/kbs/v0"


class Clock:
    """The store's clock, which a test may push."""

    def __init__(self):
        self.offset = timedelta(0)

    def __call__(self):
        return datetime.now(UTC) + self.offset


@dataclass
class MemoryCollateral:
    collateral: object

    def collateral_for(self, quote):
        return self.collateral


@dataclass
class KbsBroker:
    """One broker process's worth of objects over a store, and its port."""

    store: object
    ledger: Ledger
    keyring: Keyring
    service: ReleaseService
    kbs: KbsService
    ca_pem: bytes
    spki: bytes
    policy: Path
    port: int = 0
    clock: Clock = field(default_factory=Clock)

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def decisions(self):
        return [entry for entry in self.ledger.entries() if entry["kind"] == "decision"]

    def codes(self):
        return [reason["code"] for entry in self.decisions() for reason in entry.get("reasons", ())]

    def obtain(self, platform, name=MODEL, **options):
        options = {"ca_pem": self.ca_pem, "timeout_s": 20, **options}
        return obtain(options.pop("url", self.url), SecretName.parse(name), platform=platform, **options)


def spki_of(certificate_pem):
    key = x509.load_pem_x509_certificate(certificate_pem).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@contextmanager
def served(application, identity, **limits):
    """Serve an application over TLS beside the test; yield its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    async def make():
        context = tls_context(identity.certificate_pem, identity.key_pem)
        server = WebServer(application, context, name="kbs", limits=WebLimits(**limits))
        return server, await server.start("127.0.0.1", 0)

    try:
        server, port = do(make())
        try:
            yield port
        finally:
            do(server.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@pytest.fixture(scope="session")
def serve():
    """Serve an ASGI application over TLS: `serve(application, identity)` is a context that yields the port."""
    return served


@pytest.fixture
def kbs_with(tmp_path, owner, world, collateral, caplog):
    """Start brokers. A second one on the first one's store: `kbs_with(store_of=first)`."""
    caplog.set_level(logging.INFO, logger="strongroom.broker")

    @contextmanager
    def run(policy=None, *, secrets=None, store_of=None, anchors=None, source=None, name="one", deployment=None,
            rates=None):  # fmt: skip
        authority, identity = owner
        with ExitStack() as stack:
            if store_of is None:
                clock = Clock()
                folder = tmp_path / name
                folder.mkdir()
                (folder / "policy.toml").write_text(policy or default_policy())
                store = open_store(folder / "broker.db", clock=clock)
                stack.callback(store.close)
                keyring = Keyring(store, LocalRoot(new_root_key(), "test"))
                keyring.begin()
                stack.callback(keyring.close)
                for secret, raw in (secrets or {MODEL: KEY}).items():
                    keyring.put("default", secret, Secret(raw), "test")
                ledger = Ledger(store, keyring.signing_key())
            else:
                clock, store, keyring, ledger = store_of.clock, store_of.store, store_of.keyring, store_of.ledger
                folder = store_of.policy.parent
            service = ReleaseService(
                store=store,
                policies=Policies(store, WatchedPolicy(folder / "policy.toml")),
                keyring=keyring,
                ledger=ledger,
                source=source or MemoryCollateral(collateral),
                anchors=[INTEL, Anchor.from_certificate(world.root_der)] if anchors is None else anchors,
            )
            service.begin()
            stack.callback(service.close)
            spki = spki_of(identity.certificate_pem)
            kbs = KbsService(
                store=store, service=service, token_key=keyring.token_key(), kbs_spki=spki,
                deployment=deployment or ledger.origin, rates=KbsRates(store, **(rates or {})),
            )  # fmt: skip
            stack.callback(kbs.close)
            broker = KbsBroker(
                store,
                ledger,
                keyring,
                service,
                kbs,
                authority.certificate_pem,
                spki,
                folder / "policy.toml",
                clock=clock,
            )
            broker.port = stack.enter_context(served(kbs_application(kbs), identity))
            yield broker

    return run


def default_policy(*, release=MODEL, extra="", enclave=b"\xe1" * 32):
    return (
        f'version = 1\n[[rule]]\nname = "replica"\nmrenclave = "{enclave.hex()}"\ntrust_domains = ["simulated"]\n'
        f'release = "{release}"\n{extra}\n'
    )


@pytest.fixture(scope="session")
def policy_of():
    return default_policy


@pytest.fixture
def kbs(kbs_with):
    with kbs_with() as running:
        yield running


# The client below uses urllib and cryptography; what it does is what the protocol's text says stock clients do.


def b64(data):
    return base64.b64encode(data).decode()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class StockClient:
    """RCAR as attestation-agent's client runs it: cold GET, 401, auth, attest, GET; at most three GETs."""

    def __init__(self, url, ca_pem, quote, *, tee="sgx", jar=True):
        context = ssl.create_default_context(cadata=ca_pem.decode())
        self.jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(rfc2965=False))
        handlers = [urllib.request.HTTPSHandler(context=context)]
        self.opener = urllib.request.build_opener(
            *handlers, *([urllib.request.HTTPCookieProcessor(self.jar)] if jar else [])
        )
        self.url, self.quote, self.tee = url, quote, tee
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.seen = []
        self.token = None

    @property
    def jwk(self):
        numbers = self.key.public_key().public_numbers()
        x, y = (b64url(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "alg": "ECDH-ES+A256KW", "x": x, "y": y}

    def send(self, method, path, body=None, **headers):
        """Return status, headers and body; what is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310
        if data is not None and "Content-Type" not in headers:
            request.add_header("Content-Type", "application/json")
        try:
            with self.opener.open(request, timeout=30) as answer:
                found = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                found = refusal.code, refusal.headers, refusal.read()
        self.seen.append((method, path, found[0]))
        return found

    def auth(self, **changes):
        body = {"version": "0.4.0", "tee": self.tee, "extra-params": {"supported-hash-algorithms": ["sha384"]}}
        return self.send("POST", f"{PREFIX}/auth", body | changes)

    def nonce(self):
        status, _, body = self.auth()
        assert status == 200, body
        challenge = json.loads(body)
        assert challenge["extra-params"] == ""
        assert len(challenge["nonce"]) == 44
        return challenge["nonce"]

    def hashed(self, nonce, **changes):
        return {"tee-pubkey": self.jwk, "nonce": nonce, "additional-evidence": ""} | changes

    def evidence(self, nonce, *, hashed=None, digest=hashlib.sha384, padding=b"\0", sort=True):
        members = self.hashed(nonce) if hashed is None else hashed
        text = json.dumps(members, sort_keys=sort, separators=(",", ":"), ensure_ascii=False).encode()
        return {"quote": b64(self.quote(digest(text).digest().ljust(64, padding)))}

    def attestation(self, nonce, evidence=None, **runtime):
        return {
            "init-data": None,
            "runtime-data": {"nonce": nonce, "tee-pubkey": self.jwk} | runtime,
            "tee-evidence": {"primary_evidence": evidence or self.evidence(nonce), "additional_evidence": ""},
        }

    def attest(self, body):
        status, headers, answer = self.send("POST", f"{PREFIX}/attest", body)
        if status == 200:
            self.token = json.loads(answer)["token"]
        return status, headers, answer

    def handshake(self):
        return self.attest(self.attestation(self.nonce()))

    def get(self, path, **headers):
        return self.send("GET", f"{PREFIX}/resource/{path}", **headers)

    def get_resource(self, path):
        """Run the whole dialogue; return the secret, or raise what a stock client gives up with."""
        for _ in range(3):
            status, _, body = self.get(path)
            if status == 200:
                return self.unseal(json.loads(body))
            error = json.loads(body)  # anything else than this JSON ends a stock client
            assert set(error) >= {"type", "detail"}
            if status != 401:
                raise PermissionError(status, error["type"].rpartition("/")[2])
            status, _, body = self.handshake()
            if status != 200:
                raise PermissionError(status, json.loads(body)["detail"])
        raise PermissionError("three times")

    def unseal(self, sealed):
        header = json.loads(unb64url(sealed["protected"]))
        rest = {name: header[name] for name in sorted(header) if name not in ("alg", "enc")}
        spelled = json.dumps({"alg": header["alg"], "enc": header["enc"]} | rest, separators=(",", ":"))
        aad = b64url(spelled.encode())  # a stock client computes it, and does not look at what was sent
        x, y = (int.from_bytes(unb64url(header["epk"][name]), "big") for name in "xy")
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())
        name = header["alg"].encode()
        info = struct.pack(">I", len(name)) + name + struct.pack(">III", 0, 0, 256)
        kek = hashlib.sha256(struct.pack(">I", 1) + shared + info).digest()
        cek = aes_key_unwrap(kek, unb64url(sealed["encrypted_key"]))
        whole = unb64url(sealed["ciphertext"]) + unb64url(sealed["tag"])
        return AESGCM(cek).decrypt(unb64url(sealed["iv"]), whole, aad.encode())

    def raw(self, port, path, headers=(), method="GET", body=None):
        """Ask for a path exactly as it is spelled, which urllib would tidy."""
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def client_of(replica):
    """A stock client of a broker; `quote` defaults to that of the enclave which the policy names."""

    def make(broker, **options):
        options = {"quote": replica.quote, **options}
        client = StockClient(broker.url, broker.ca_pem, options.pop("quote"), **options)
        client.ca_pem = broker.ca_pem
        return client

    return make


@pytest.fixture
def client(kbs, client_of):
    return client_of(kbs)


@pytest.fixture(scope="session")
def second_world(tmp_path_factory, replica_of):
    """A replica of the same measurement in another simulated world, whose root no broker here trusts."""
    return replica_of(World.create(tmp_path_factory.mktemp("worlds") / "two", now=datetime.now(UTC)))


@pytest.fixture(scope="session")
def replica_of():
    """Return what quotes for the enclave that the policy names, in a world of the caller's."""
    identity = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)

    @dataclass
    class Replica:
        world: World

        def quote(self, report_data):
            return self.world.quote(identity, report_data)

    return Replica


@pytest.fixture
def configured(world):
    """Return what quotes for the enclave that the policy names, launched with a configuration id."""

    @dataclass(frozen=True, kw_only=True)
    class Configured(EnclaveIdentity):
        config_id: bytes

        def report(self, hardware, report_data):
            return replace(EnclaveIdentity.report(self, hardware, report_data), config_id=self.config_id)

    @dataclass
    class Replica:
        config_id: bytes

        def quote(self, report_data):
            identity = Configured(
                mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3, config_id=self.config_id
            )
            return world.quote(identity, report_data)

    return Replica
