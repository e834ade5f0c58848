"""A simulated world with real quotes, an owner's rules on disk, and a broker that listens on loopback."""

import asyncio
import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.attestation import INTEL, Anchor, parse_quote, verify
from strongroom.broker import ledger as ledgers
from strongroom.broker.client import provision
from strongroom.broker.ledger import Ledger
from strongroom.broker.policy_store import PolicyStore
from strongroom.broker.server import BrokerServer, ServerLimits
from strongroom.broker.service import ReleaseService
from strongroom.broker.tls import server_context
from strongroom.pki.authority import Authority
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
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
class MemorySecrets:
    held: dict

    def get(self, name):
        return Secret(self.held[name])


@dataclass
class MemoryCollateral:
    """Collateral as the world reports it; tests swap it to rehearse bad news."""

    collateral: object

    def collateral_for(self, quote):
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
    port: int = 0
    server: BrokerServer | None = None

    @property
    def policy(self):
        return self.folder / "policy.toml"

    def provision(self, platform, **options):
        options = {"ca_pem": self.ca.certificate_pem, "timeout_s": 20, **options}
        return provision("localhost", self.port, platform=platform, **options)

    def decisions(self):
        return [entry for entry in ledgers.entries(self.folder / "ledger.jsonl") if entry["kind"] == "decision"]

    def entries(self, kind):
        return [entry for entry in ledgers.entries(self.folder / "ledger.jsonl") if entry["kind"] == kind]

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
    def run(policy=None, *, secrets=None, limits=None, tls13=False, anchors=None, source=None):
        authority, identity_of_broker = owner
        broker = Broker(tmp_path, authority)
        broker.policy.write_text(policy_text() if policy is None else policy)
        context = server_context(identity_of_broker.certificate_pem, identity_of_broker.key_pem, tls13=tls13)
        with Ledger(tmp_path / "ledger.jsonl") as book:
            service = ReleaseService(
                policies=PolicyStore(broker.policy),
                source=source or MemoryCollateral(collateral),
                anchors=anchors if anchors is not None else [INTEL, Anchor.from_certificate(world.root_der)],
                secrets=MemorySecrets({MODEL: KEY} if secrets is None else secrets),
                ledger=book,
            )
            service.begin()
            broker.server = BrokerServer(service, context, limits=limits or ServerLimits(linger_s=0.2))
            with in_a_thread(broker):
                yield broker
        ledgers.verify(tmp_path / "ledger.jsonl")

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


@pytest.fixture
def week():
    return timedelta(days=7)
