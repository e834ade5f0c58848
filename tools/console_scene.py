"""A broker with a day behind it, for the console's tests and screenshots: made-up owners, real everything else.

Quotes are signed by a simulated world, judged by the verifier, decided by the rules, admitted and written by the real
service into a real store; the console is served over TLS by the real web server. Only the clock is led.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.routing import Mount

from strongroom import __version__
from strongroom.attestation import Anchor, Collateral, Quote, TcbStatus
from strongroom.broker import tenants
from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.base import Parts
from strongroom.broker.admin.desk import LocalDesk
from strongroom.broker.admin.roles import Actor, Role
from strongroom.broker.admin.views import CollateralView
from strongroom.broker.console import console_app
from strongroom.broker.gramine_server import PROTOCOL_NAME
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot, new_root_key
from strongroom.broker.ledger.audit import Verified
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.ledger.reading import Progress, verify_store
from strongroom.broker.policy.approvals import Approvals
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.votes import key_id
from strongroom.broker.release import Grant
from strongroom.broker.service import Case, ReleaseService
from strongroom.broker.store import Store
from strongroom.broker.store.sqlite import SqliteStore
from strongroom.broker.web import WebServer, tls_context
from strongroom.pki import ratls
from strongroom.pki.authority import Authority
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.platforms.simulated.hardware import Rehearsal
from strongroom.secret import Secret

OWNER = Actor(name="ada", role=Role.OWNER, tenant="*")
SIGNER = bytes.fromhex("8f3d61c0a1a94c3f0d5d2a9d1c7e5b0f4e6a8b2c9d0e1f2a3b4c5d6e7f809182")
RESNET = EnclaveIdentity(mr_enclave=bytes.fromhex("5b1e" * 16), mr_signer=SIGNER, isv_prod_id=7, isv_svn=4)
LITE = EnclaveIdentity(mr_enclave=bytes.fromhex("c48a" * 16), mr_signer=SIGNER, isv_prod_id=9, isv_svn=2)


def rule(name: str, release: str, identity: EnclaveIdentity, *more: str) -> str:
    """Return one rule of a policy."""
    words = [
        f'name = "{name}"', f'mrenclave = "{identity.mr_enclave.hex()}"', 'trust_domains = ["simulated"]',
        f'release = "{release}"', *more,
    ]  # fmt: skip
    return "\n[[rule]]\n" + "\n".join(words) + "\n"


FIRST_POLICY = "version = 1\n" + rule("resnet50 in production", "model/resnet50/3", RESNET)
POLICY = (
    "version = 1\n"
    + rule("resnet50 in production", "model/resnet50/4", RESNET, "max_leases = 8", "lease_seconds = 900")
    + rule("efficientnet-lite0", "model/efficientnet-lite0/1", LITE, "lease_seconds = 900")
)
PROPOSAL = POLICY + rule(
    "efficientnet-lite0 while platforms are patched", "model/efficientnet-lite0/1", LITE,
    'accepted_tcb_status = ["UpToDate", "SWHardeningNeeded"]', 'accepted_advisory_ids = ["INTEL-SA-00837"]',
)  # fmt: skip


@dataclass
class Served:
    """The world's collateral, as it is now or as it is rehearsed."""

    world: World
    clock: Any
    rehearsal: Rehearsal | None = None

    def collateral_for(self, quote: Quote) -> Collateral:  # noqa: ARG002  # one platform family
        """Return the collateral of this moment."""
        return self.world.collateral(self.clock(), self.rehearsal)


@dataclass
class Scene:
    """A store and everything on it; `led` is the time it is there, `None` once real time counts."""

    folder: Path
    led: datetime | None = None
    store: Store = field(init=False)
    peers: int = 0

    def __post_init__(self) -> None:
        began = self.led or datetime.now(UTC)
        self.world = World.create(self.folder / "world", now=began - timedelta(days=1), hardware=None)
        self.authority = Authority.create("Strongroom demo CA", now=began)
        self.store = SqliteStore(self.folder / "broker.db", clock=self.clock)
        self.keyring = Keyring(self.store, LocalRoot(new_root_key(), "a file of the owner's, readable by nobody else"))
        self.keyring.begin()
        self.signer = self.keyring.signing_key()
        self.ledger = Ledger(self.store, self.signer)
        self.store.write(tenants.ensure_default)
        owners = [Ed25519PrivateKey.generate() for _ in range(2)]
        named = MappingProxyType({key_id(each.public_key()): each.public_key() for each in owners})
        self.policies = Policies(self.store, approvals=Approvals(named, 0))
        self.approvals = Approvals(named, 2)
        self.source = Served(self.world, self.clock)
        self.service = ReleaseService(
            store=self.store, policies=self.policies, keyring=self.keyring, ledger=self.ledger, source=self.source,
            anchors=[Anchor.from_certificate(self.world.root_der)], clock=self.clock, broker="broker-1",
        )  # fmt: skip
        self.families: list[CollateralView] = []
        self.administration = Administration(
            Parts(
                store=self.store, keyring=self.keyring, ledger=self.ledger, policies=self.policies,
                root=self.keyring.root.description, collateral=lambda: self.families,
            )
        )  # fmt: skip
        self.desk = LocalDesk(self.administration, OWNER)

    def clock(self) -> datetime:
        """Return the time that is led, or the real one."""
        return self.led or datetime.now(UTC)

    def close(self) -> None:
        """Let go of the store."""
        self.service.close()
        self.keyring.close()
        self.store.close()

    # What happens --------------------------------------------------------------------------------------------------

    def ask(
        self, identity: EnclaveIdentity, *, peer: str, protocol: str = PROTOCOL_NAME, lease: str | None = None
    ) -> Case:
        """Present evidence of a program as a replica does, and admit what is granted."""
        self.peers += 1
        at = self.clock()
        key = ratls.generate_key()
        certificate = ratls.make_certificate(
            key, lambda data: self.world.quote(identity, data), forms=[ratls.Form.LEGACY, ratls.Form.DICE],
            not_before=at - timedelta(hours=1), not_after=at + timedelta(days=1),
        )  # fmt: skip
        case = Case(id=f"{self.peers:08x}", peer=peer, protocol=protocol, lease_id=lease)
        case = self.service.consider(case, certificate, tls="TLSv1.3")
        if isinstance(case.outcome, Grant):
            released = self.service.release(case)
            if released is not None:
                released.secret.wipe()
                self.lease = released.lease.id
        else:
            self.service.refuse(case)
        return case

    def grant(self, peer: str = "10.4.0.17:41822", **options: Any) -> Case:
        """Let the resnet50 replica ask, which may have its key."""
        return self.ask(RESNET, peer=peer, **options)

    def deny(self, peer: str = "10.4.0.99:50112", **changes: Any) -> Case:
        """Let a program ask that no rule names."""
        return self.ask(replace(RESNET, **(changes or {"mr_enclave": b"\x13" * 32})), peer=peer)

    def publish(self, *names: str) -> None:
        """Keep a key for each of these names."""
        for name in names:
            self.desk.create_key(tenant="default", name=name)

    def put_policy(self, text: str) -> None:
        """Put a policy in force."""
        self.desk.put_policy(tenant="default", text=text)

    def propose(self, text: str) -> None:
        """Propose a policy that needs two owners."""
        self.policies._approvals = self.approvals  # noqa: SLF001  # the setting of a broker that starts again
        self.desk.put_policy(tenant="default", text=text)

    def add_person(self, name: str, role: str, tenant: str = "*") -> tuple[bytes, Secret]:
        """Register a person; return certificate and key as PEM."""
        leaf = self.authority.issue_client(f"{name}@owner.example", now=self.clock())
        self.desk.add_admin(name=name, role=role, tenant=tenant, certificate=leaf.certificate_pem.decode())
        return leaf.certificate_pem, leaf.key_pem

    def register_broker(self, name: str, address: str, *, seen: timedelta = timedelta(0)) -> None:
        """Let a broker say that it is there."""
        at = int(self.clock().timestamp() * 1000)
        began, heard = at - 93_600_000, at - int(seen.total_seconds() * 1000)
        self.store.write(
            lambda tx: tx.execute(
                "INSERT INTO brokers (id, address, version, started_ms, seen_ms) VALUES (?, ?, ?, ?, ?)",
                (name, address, __version__, began, heard),
            )
        )

    def look_at_collateral(self) -> None:
        """Say how long the world's collateral serves."""
        found = self.world.collateral(self.clock())
        parts = {
            "TCB info": _next_update(found.tcb_info), "QE identity": _next_update(found.qe_identity),
            "PCK CRL": _crl_end(found.pck_crl), "root CRL": _crl_end(found.root_ca_crl),
        }  # fmt: skip
        self.families = [
            CollateralView(
                family=self.world.fmspc, tee="sgx", part=part, source="trust/collateral",
                ends_ms=int(min(ends, self.clock() + timedelta(days=7)).timestamp() * 1000), standing="current",
                problem="", fix="",
            )
            for part, ends in parts.items()
        ]  # fmt: skip

    def verify(self, progress: Progress) -> Verified:
        """Walk the whole ledger."""
        return verify_store(self.store, signer=self.signer, progress=progress)

    def login_code(self, actor: Actor = OWNER) -> str:
        """Return a one-time code, as `strongroom broker login` gets it."""
        return str(LocalDesk(self.administration, actor).create_login()["token"])

    def console(self) -> Any:
        """Return the console, mounted as the broker mounts it."""
        app = console_app(self.administration, store=self.store, verify=self.verify)
        return Starlette(routes=[Mount("/console", app)])

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve the console over TLS; yield its address."""
        leaf = self.authority.issue_server(["localhost", "127.0.0.1"], now=datetime.now(UTC))
        context = tls_context(leaf.certificate_pem, leaf.key_pem, client_ca_pem=self.authority.certificate_pem)
        server = WebServer(self.console(), context, name="admin")
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            port = asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(60)
            yield f"https://localhost:{port}/console"
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(60)
            loop.close()


def _next_update(text: str) -> datetime:
    return datetime.fromisoformat(json.loads(text)["nextUpdate"])


def _crl_end(text: str) -> datetime:
    ends = x509.load_der_x509_crl(bytes.fromhex(text)).next_update_utc
    return ends or datetime.max.replace(tzinfo=UTC)


def a_day(folder: Path) -> Scene:
    """Return a broker that has been running for a day and has seen something; real time counts from here."""
    now = datetime.now(UTC)
    scene = Scene(folder, led=now - timedelta(hours=23, minutes=40))
    scene.publish("model/resnet50/3", "model/efficientnet-lite0/1", "secret/telemetry-token", "password/job-queue")
    scene.put_policy(FIRST_POLICY)
    for name, role in (("ada", "owner"), ("grace", "owner"), ("kim", "keeper"), ("omar", "operator")):
        scene.add_person(name, role)
    scene.desk.create_tenant(tenant="radiology")
    scene.add_person("ines", "auditor", "radiology")
    _first_hours(scene, now)
    scene.publish("model/resnet50/4")
    scene.put_policy(POLICY)
    scene.desk.raise_floor(tenant="default", model="resnet50", version=4)
    _later_hours(scene, now)
    scene.propose(PROPOSAL)
    _last_minutes(scene, now)
    scene.led = None
    scene.ledger.sign_root()
    scene.look_at_collateral()
    scene.register_broker("broker-1", "10.4.0.2:4433")
    scene.register_broker("broker-2", "10.4.0.3:4433", seen=timedelta(seconds=4))
    return scene


def _first_hours(scene: Scene, now: datetime) -> None:
    for hours in (23, 22, 21, 20, 18, 17):
        scene.led = now - timedelta(hours=hours, minutes=11)
        for number in range(2 + hours % 3):
            scene.grant(f"10.4.0.{17 + number}:4{hours}1{number}")
    scene.led = now - timedelta(hours=16, minutes=2)
    scene.deny("198.51.100.7:33190", debug=True)
    scene.deny("198.51.100.7:33194")


def _later_hours(scene: Scene, now: datetime) -> None:
    for hours in (14, 13, 11, 10, 8, 6, 5, 3):
        scene.led = now - timedelta(hours=hours, minutes=24)
        for number in range(2 + hours % 4):
            scene.ask((RESNET, LITE)[number % 2], peer=f"10.4.0.{17 + number}:5{hours:02}{number}")
    scene.led = now - timedelta(hours=2, minutes=31)
    scene.source.rehearsal = Rehearsal(status=TcbStatus.OUT_OF_DATE, advisories=("INTEL-SA-00837",))
    scene.ask(LITE, peer="10.4.0.23:40122")
    scene.source.rehearsal = None
    scene.deny("10.4.0.41:42001", isv_svn=2, mr_enclave=b"\x77" * 32)


def _last_minutes(scene: Scene, now: datetime) -> None:
    scene.led = now - timedelta(minutes=14, seconds=20)
    scene.ask(LITE, peer="10.4.0.22:51002")  # expires within a minute: nobody has renewed it
    scene.led = now - timedelta(minutes=9)
    scene.grant("10.4.0.17:44182")
    renewed = scene.lease
    scene.led = now - timedelta(minutes=6)
    scene.grant("10.4.0.18:44190")
    scene.ask(LITE, peer="10.4.0.21:44911")
    scene.led = now - timedelta(minutes=2)
    scene.grant("10.4.0.17:44182", lease=renewed)
    scene.deny("203.0.113.50:60404")
    scene.led = now - timedelta(seconds=20)
    scene.grant("10.4.0.19:44202")


__all__: Sequence[str] = ("OWNER", "Scene", "a_day")
