"""One suite for all who keep primary keys: rings in memory, files, an agent, a broker. They refuse alike."""

import asyncio
import base64
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.analytics.agent.server import listening
from strongroom.analytics.keys.agent import AgentKeys
from strongroom.analytics.keys.broker import Broker, BrokerKeys
from strongroom.analytics.keys.files import FileKeyService, write_ring
from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.attestation import Anchor
from strongroom.broker.kbs_http import kbs_application
from strongroom.broker.kbs_rates import KbsRates
from strongroom.broker.kbs_service import KbsService
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot, new_root_key
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.service import ReleaseService
from strongroom.broker.store.opening import open_store
from strongroom.broker.web.server import WebLimits, WebServer, tls_context
from strongroom.datasets.key_ring import KeyRing, UnknownKeyVersion
from strongroom.datasets.names import KeyId
from strongroom.datasets.wrapping import BadDataKey, WrappedKeyRefused
from strongroom.pki.authority import Authority
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret

JOB = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
POLICY = (
    f'version = 1\n[[rule]]\nname = "job"\nmrenclave = "{JOB.mr_enclave.hex()}"\ntrust_domains = ["simulated"]\n'
    'release = ["secret/data-people", "secret/data-taxis"]\n'
)
DATA_KEY = Secret(b"0123456789abcdef")


@dataclass
class Simulated:
    """A platform that vouches for one identity."""

    world: World
    identity: EnclaveIdentity = JOB

    def quote(self, report_data):
        return self.world.quote(self.identity, report_data)


@dataclass
class Collateral:
    collateral: object

    def collateral_for(self, quote):
        return self.collateral


@contextmanager
def broker_with(folder, secrets):
    """Run a broker of this process that speaks KBS; lend what a program needs to ask it, and its ledger."""
    world = World.create(folder / "world", now=datetime.now(UTC))
    authority = Authority.create("test owner", now=datetime.now(UTC))
    identity = authority.issue_server(["localhost"], now=datetime.now(UTC))
    (folder / "policy.toml").write_text(POLICY)
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(folder / "broker.db")))
        keyring = stack.enter_context(closing(Keyring(store, LocalRoot(new_root_key(), "test"))))
        keyring.begin()
        for name, raw in secrets.items():
            keyring.put("default", name, Secret(raw), "test")
        ledger = Ledger(store, keyring.signing_key())
        service = stack.enter_context(closing(ReleaseService(
            store=store, policies=Policies(store, WatchedPolicy(folder / "policy.toml")), keyring=keyring,
            ledger=ledger, source=Collateral(world.collateral(datetime.now(UTC))),
            anchors=[Anchor.from_certificate(world.root_der)],
        )))  # fmt: skip
        service.begin()
        public = x509.load_pem_x509_certificate(identity.certificate_pem).public_key()
        kbs = stack.enter_context(closing(KbsService(
            store=store, service=service, token_key=keyring.token_key(), deployment=ledger.origin,
            kbs_spki=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), rates=KbsRates(store),
        )))  # fmt: skip
        port = stack.enter_context(served(kbs_application(kbs), identity))
        platform = Simulated(world)
        yield Broker(url=f"https://localhost:{port}", ca_pem=authority.certificate_pem, platform=platform), ledger


@contextmanager
def served(application, identity):
    """Serve an application over TLS in a thread; lend its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make():
        context = tls_context(identity.certificate_pem, identity.key_pem)
        server = WebServer(application, context, name="kbs", limits=WebLimits())
        return server, await server.start("127.0.0.1", 0)

    server, port = asyncio.run_coroutine_threadsafe(make(), loop).result(60)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@pytest.fixture(scope="module")
def rings():
    """Two primary keys, one of them rotated."""
    return KeyRing.fresh("people").rotated(), KeyRing.fresh("taxis")


@pytest.fixture(scope="module", params=["rings", "files", "agent", "broker"])
def keys(request, rings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    with ExitStack() as stack:
        if request.param == "rings":
            yield RingKeys(rings)
        elif request.param == "files":
            for ring in rings:
                write_ring(folder / "keys", ring)
            yield FileKeyService(folder / "keys")
        elif request.param == "agent":
            server = stack.enter_context(listening(RingKeys(rings), folder / "agent.sock"))
            server.start()
            yield stack.enter_context(closing(AgentKeys(folder / "agent.sock")))
        else:
            secrets = {f"secret/data-{ring.name}": ring.to_bytes() for ring in rings}
            broker, _ = stack.enter_context(broker_with(folder, secrets))
            yield stack.enter_context(BrokerKeys(broker, ["taxis", "people"]))


def test_names_are_those_that_were_given_sorted(keys):
    assert keys.names() == ("people", "taxis")


def test_the_newest_version_counts(keys):
    assert keys.current("people") == KeyId("people", 2)


def test_a_fresh_data_key_opens_again(keys):
    made = keys.new_data_key("people")
    assert made.key_id == KeyId("people", 2)
    assert len(made.plain) == 16
    assert keys.unwrap(made.key_id, made.wrapped) == made.plain
    assert keys.new_data_key("people").plain != made.plain


@pytest.mark.parametrize("size", [16, 24, 32])
def test_data_keys_have_the_lengths_of_aes(keys, size):
    made = keys.new_data_key("taxis", size)
    assert len(made.plain) == size == len(keys.unwrap(made.key_id, made.wrapped))


@pytest.mark.parametrize("size", [0, 15, 17, 33])
def test_other_lengths_are_refused(keys, size):
    with pytest.raises(BadDataKey):
        keys.new_data_key("taxis", size)
    with pytest.raises(BadDataKey):
        keys.wrap(KeyId("taxis", 1), Secret(bytes(size)))


def test_a10_an_older_version_opens_what_was_wrapped_under_it(keys):
    wrapped = keys.wrap(KeyId("people", 1), DATA_KEY)
    assert keys.unwrap(KeyId("people", 1), wrapped) == DATA_KEY


def test_a2_a_wrapped_key_opens_under_its_own_id_alone(keys):
    wrapped = keys.wrap(KeyId("people", 2), DATA_KEY)
    for other in (KeyId("people", 1), KeyId("taxis", 1)):
        with pytest.raises(WrappedKeyRefused):
            keys.unwrap(other, wrapped)


def test_a2_a_wrapped_key_that_was_changed_does_not_open(keys):
    raw = bytearray(base64.b64decode(keys.wrap(KeyId("taxis", 1), DATA_KEY)))
    for at in (0, 12, len(raw) - 1):
        changed = bytearray(raw)
        changed[at] ^= 1
        with pytest.raises(WrappedKeyRefused):
            keys.unwrap(KeyId("taxis", 1), base64.b64encode(changed).decode())


@pytest.mark.parametrize("wrapped", ["", "A", "no base64", "A" * 5000], ids=["empty", "short", "words", "long"])
def test_what_is_no_wrapped_key_is_refused(keys, wrapped):
    with pytest.raises(WrappedKeyRefused):
        keys.unwrap(KeyId("people", 1), wrapped)


def test_an_10_a_key_that_was_not_given_is_refused_by_name(keys):
    for ask in (
        lambda: keys.current("salaries"),
        lambda: keys.new_data_key("salaries"),
        lambda: keys.wrap(KeyId("salaries", 1), DATA_KEY),
        lambda: keys.unwrap(KeyId("salaries", 1), "AAAA"),
    ):
        with pytest.raises(KeyNotGranted, match="salaries"):
            ask()


def test_a_version_that_was_not_given_is_refused(keys):
    with pytest.raises(UnknownKeyVersion):
        keys.wrap(KeyId("people", 3), DATA_KEY)


def test_many_threads_get_their_own_answers(keys):
    def work(number):
        key = Secret(number.to_bytes(16, "big"))
        return keys.unwrap(KeyId("people", 2), keys.wrap(KeyId("people", 2), key)) == key

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(64)))


def test_no_key_shows_or_travels(keys):
    assert "Secret(16 bytes)" in repr(keys.new_data_key("people"))
    try:
        travelling = pickle.dumps(keys)
    except TypeError:
        return  # it does not travel at all
    assert len(travelling) < 400  # a path


def test_what_is_wrapped_by_one_opens_by_another(keys, rings):
    plain = RingKeys(rings)
    assert plain.unwrap(KeyId("people", 2), keys.wrap(KeyId("people", 2), DATA_KEY)) == DATA_KEY
    assert keys.unwrap(KeyId("taxis", 1), plain.wrap(KeyId("taxis", 1), DATA_KEY)) == DATA_KEY


def test_a_broker_refuses_a_name_that_no_rule_releases(rings, tmp_path):
    with broker_with(tmp_path, {"secret/data-salaries": rings[0].to_bytes()}) as (broker, ledger):
        with pytest.raises(KeyNotGranted, match="salaries") as refused:
            BrokerKeys(broker, ["salaries"])
        assert refused.value.code == "SR-DATA-KEY-DENIED"
        reasons = [each for each in ledger.entries() if each["kind"] == "decision"]
    assert reasons  # the owner is told, the program is not
