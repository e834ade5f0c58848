"""A whole site on either store: two protocols on ports, owners who vote, and what every refusal has to leave behind."""

import base64
import hashlib
import importlib.util
import json
import logging
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation import INTEL, Anchor
from strongroom.broker import tenants
from strongroom.broker.gramine_server import BrokerServer, ServerLimits
from strongroom.broker.kbs_http import kbs_application
from strongroom.broker.kbs_service import KbsService
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.policy.approvals import submit
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.service import Case, ReleaseService
from strongroom.broker.store.opening import open_store
from strongroom.broker.tls import server_context
from strongroom.pki import ratls
from strongroom.secret import Secret

ROOT = bytes(range(50, 82))
MODEL = "model/m/1"
KEY = bytes.fromhex("5ec7e7a1b2c3d4e5f60718293a4b5c6d")


def load(name):
    """Return the conftest of a neighbouring folder: its clients and servers are used here, too."""
    known = f"strongroom_tests_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, Path(__file__).resolve().parents[1] / name / "conftest.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        spec.loader.exec_module(module)
    return sys.modules[known]


def shapes(*secrets):
    """Return every form in which a secret could be seen."""
    for raw in secrets:
        yield from (raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw).rstrip(b"="))
        yield base64.urlsafe_b64encode(raw).rstrip(b"=")


@dataclass
class Source:
    """Collateral that a test swaps, and how often it was asked for: as often as evidence got that far."""

    collateral: object
    asked: int = 0

    def collateral_for(self, _quote):
        self.asked += 1
        return self.collateral


@dataclass
class Site:
    """One broker on a store, with everything that a test may want to look at."""

    world: object
    authority: object
    store: object
    keyring: Keyring
    ledger: Ledger
    policies: Policies
    source: Source
    service: ReleaseService
    policy: Path
    server: BrokerServer | None = None
    port: int = 0
    closed: bool = False
    ports: dict = field(default_factory=dict)
    secrets: list = field(default_factory=lambda: [KEY])

    def close(self):
        """Close everything, once, after a look at the whole ledger."""
        if not self.closed:
            self.closed = True
            self.service.close()
            self.ledger.verify()
            self.keyring.close()
            self.store.close()

    def decisions(self):
        return [entry for entry in self.ledger.entries() if entry["kind"] == "decision"]

    def put(self, tenant, name, raw):
        self.keyring.put(tenant, name, Secret(raw), "test")
        self.secrets.append(raw)

    def tenant(self, name, policy):
        self.store.write(lambda tx: (tenants.create(tx, name), submit(tx, name, policy.encode(), "test")))
        self.policies.look_again()

    def rules(self, policy):
        """Put another policy in force for the default tenant, as an edit of its file or through the store."""
        if self.store.shared:
            self.store.write(lambda tx: submit(tx, "default", policy.encode(), "test"))
        else:
            self.policy.write_text(policy)
        self.policies.look_again()

    def judged(self, identity, *, fresh=True, **fields):
        """Return a case with what a fresh quote of an identity proves."""
        spki = ratls.generate_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        bound = hashlib.sha256(spki).digest() + bytes(32)
        fields = {"id": "case", "peer": "10.0.0.1:1", "protocol": "test", "fresh": fresh, "holder": "ab" * 32} | fields
        case = Case(**fields)
        return self.service.judge(case, self.world.quote(identity, bound), report_data=bound, bound=spki)

    def ask(self, identity, wanted, **fields):
        """Ask for a secret by name with fresh evidence; return what was released, None where it was refused."""
        case = self.service.decide(self.judged(identity, **fields), wanted)
        if case.granted:
            return self.service.release(case)
        self.service.refuse(case)
        return None

    @contextmanager
    def refusing(self, caplog, *codes):
        """Hold what every refusal has to be: one line in the ledger, its codes, and no secret byte anywhere.

        The list that is given gets whatever the peer could see.
        """
        before, seen = len(self.decisions()), []
        yield seen
        [line] = self.decisions()[before:]
        assert (line["decision"], line["secret"], line["lease"]) == ("denied", None, None)
        assert [reason["code"] for reason in line["reasons"]] == list(codes)
        told = b"".join(seen) + json.dumps(line).encode() + caplog.text.encode()
        assert not any(shape in told for shape in shapes(*self.secrets))
        assert line["id"] in caplog.text


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request, tmp_path):
    if request.param == "sqlite":
        return tmp_path / "broker.db"
    return request.getfixturevalue("postgres").url


@pytest.fixture
def rule():
    """Build one rule of a policy; `policy` puts them together."""

    def build(*names, name="one", enclave=b"\xe1" * 32, extra=""):
        names = names[0] if len(names) == 1 else list(names) or MODEL
        return (
            f'[[rule]]\nname = "{name}"\nmrenclave = "{enclave.hex()}"\ntrust_domains = ["simulated"]\n'
            f"release = {json.dumps(names)}\n{extra}\n"
        )

    return build


@pytest.fixture
def policy():
    return lambda *rules, top="": f"version = 1\n{top}\n" + "".join(rules)


@pytest.fixture
def site_with(*, tmp_path, owner, world, collateral, caplog, location):
    """Open sites; every one is closed, and its ledger verified, when the test ends."""
    caplog.set_level(logging.DEBUG, logger="strongroom.broker")
    with ExitStack() as stack:

        def make(text, *, store=None, root=ROOT, approvals=None, clock=None, secrets=((MODEL, KEY),), **options):
            folder = tmp_path / f"site-{len(list(tmp_path.glob('site-*')))}"
            folder.mkdir()
            (folder / "policy.toml").write_text(text)
            opened = store or open_store(location, **({"clock": clock} if clock else {}))
            keyring = Keyring(opened, LocalRoot(Secret(root), "of the test"))
            keyring.begin()
            source = options.pop("source", None) or Source(collateral)
            ledger = Ledger(opened, keyring.signing_key())
            watched = WatchedPolicy(folder / "policy.toml")
            policies = Policies(opened, watched, *([approvals] if approvals else []))
            if "guard" in options:
                options["guard"] = options["guard"](ledger)
            service = ReleaseService(
                store=opened, policies=policies, keyring=keyring, ledger=ledger, source=source,
                anchors=[INTEL, Anchor.from_certificate(world.root_der)], **options,
            )  # fmt: skip
            service.begin()
            site = Site(world, owner[0], opened, keyring, ledger, policies, source, service, folder / "policy.toml")
            stack.callback(site.close)
            for name, raw in secrets:
                if not opened.read(lambda tx, name=name: keyring.exists(tx, "default", name)):
                    site.put("default", name, raw)
            return site

        yield make


@pytest.fixture
def listening(owner):
    """Let a site listen: `site.ports` has the ports of both protocols."""
    kbs, identity = load("kbs"), owner[1]
    with ExitStack() as stack:

        def listen(site):
            leaf = x509.load_pem_x509_certificate(identity.certificate_pem)
            service = KbsService(
                store=site.store, service=site.service, token_key=site.keyring.token_key(),
                kbs_spki=leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
                deployment=site.ledger.origin,
            )  # fmt: skip
            stack.callback(service.close)
            site.ports["kbs"] = stack.enter_context(kbs.served(kbs_application(service), identity))
            context = server_context(identity.certificate_pem, identity.key_pem, tls13=False)
            site.server = BrokerServer(site.service, context, limits=ServerLimits(linger_s=0.2))
            stack.enter_context(load(".").in_a_thread(site))
            site.ports["gramine"] = site.port
            return site

        yield listen


@pytest.fixture
def stock():
    """A KBS client that was written from the protocol's text alone."""

    def make(site, identity, **options):
        client = load("kbs").StockClient(
            f"https://localhost:{site.ports['kbs']}", site.authority.certificate_pem,
            lambda report_data: site.world.quote(identity, report_data), **options,
        )  # fmt: skip
        client.ca_pem = site.authority.certificate_pem
        return client

    return make
