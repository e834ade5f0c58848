"""Every administrative action, carried out on the store here and over HTTP by mutual TLS: the same answers and errors.

Each answer is held to the schema that /v1/openapi.json gives for it.
"""

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from openapi_schema_validator import OAS31Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from starlette.applications import Starlette

from strongroom.broker import leases, tenants
from strongroom.broker.admin import Actor, Administration, Parts, Role
from strongroom.broker.admin.api import routes
from strongroom.broker.admin.client import RemoteAdministration
from strongroom.broker.admin.desk import Desk, LocalDesk
from strongroom.broker.admin.identities import new_identity
from strongroom.broker.admin.openapi import document
from strongroom.broker.admin.operations import OPERATIONS
from strongroom.broker.keyring import file_root
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import new_root_key
from strongroom.broker.leases import LeaseRequest
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.policy.approvals import Approvals
from strongroom.broker.policy.policies import Policies
from strongroom.broker.policy.votes import Ballot, key_id, sign
from strongroom.broker.store.opening import open_store
from strongroom.broker.web import WebServer, tls_context
from strongroom.errors import StrongroomError
from strongroom.pki.authority import Authority
from strongroom.secret import Secret

NO_RULES = "version = 1\n"
RULE = 'version = 1\n[[rule]]\nname = "r"\nmrenclave = "{}"\ntrust_domains = ["intel"]\nrelease = "model/m/1"\n'
WIDER = RULE.format("11" * 32)


@dataclass
class Shop:
    """What is behind a desk."""

    store: object
    ledger: Ledger
    keyring: Keyring
    authority: Authority
    owner_key: Ed25519PrivateKey

    def lease(self):
        asked = LeaseRequest(
            tenant="acme", secret="model/m/1", rule="r", holder="ab" * 32, protocol="kbs", peer="192.0.2.1:5",
            measurement="11" * 32, platform="cd" * 8, tcb_status="UpToDate", marks=(("fmspc", "00906ED50000"),),
        )  # fmt: skip
        return self.store.write(lambda tx: leases.grant(tx, asked, seconds=600)).id

    def certificate(self, name):
        return self.authority.issue_client(f"{name}@people.test", now=datetime.now(UTC)).certificate_pem.decode()

    def vote(self, ballot):
        return sign(Ballot(**ballot), self.owner_key, at=datetime.now(UTC)).to_json().decode()

    def decide(self, tenant):
        record = {"kind": "decision", "tenant": tenant, "id": "0", "decision": "denied", "reasons": []}
        return self.store.write(lambda tx: self.ledger.append(tx, record))


@pytest.fixture(scope="module")
def authority():
    return Authority.create("test owner CA", now=datetime.now(UTC))


@pytest.fixture
def shop(tmp_path, authority):
    store = open_store(tmp_path / "broker.db")
    keyring = Keyring(store, file_root.write_file(tmp_path / "root.key", new_root_key()))
    keyring.begin()
    yield Shop(store, Ledger(store, keyring.signing_key()), keyring, authority, Ed25519PrivateKey.generate())
    keyring.close()
    store.close()


@pytest.fixture(params=["local", "remote"])
def desk(request, shop, tmp_path):
    """The owner's desk; every answer is held to its schema."""
    owner_key = shop.owner_key.public_key()
    approvals = Approvals({key_id(owner_key): owner_key}, 1)
    shop.store.write(tenants.ensure_default)
    shop.store.write(lambda tx: tenants.create(tx, "acme"))
    parts = Parts(
        store=shop.store, keyring=shop.keyring, ledger=shop.ledger, policies=Policies(shop.store, None, approvals)
    )
    administration = Administration(parts)
    local = LocalDesk(administration, Actor(name="alice", role=Role.OWNER))
    local.add_admin(name="alice", role="owner", tenant="*", certificate=(leaf := _leaf(shop)).certificate_pem.decode())
    if request.param == "local":
        yield Checked(local)
        return
    folder = tmp_path / "alice"
    with new_identity(folder, leaf, ca_pem=shop.authority.certificate_pem):
        pass
    with (
        serving(administration, shop.authority) as port,
        RemoteAdministration.open(f"https://localhost:{port}", folder) as remote,
    ):
        yield Checked(remote)


def _leaf(shop):
    return shop.authority.issue_client("alice@people.test", now=datetime.now(UTC))


@contextmanager
def serving(administration, authority):
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    context = tls_context(leaf.certificate_pem, leaf.key_pem, client_ca_pem=authority.certificate_pem)
    server = WebServer(Starlette(routes=routes(administration)), context, name="admin")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    try:
        yield do(server.start("127.0.0.1", 0))
        do(server.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


class Checked(Desk):
    """Holds every answer to the schema of its operation."""

    def __init__(self, inner):
        self.inner = inner

    def _carry_out(self, operation, arguments):
        answer = self.inner.call(operation.name, **arguments)
        described = document()["paths"][operation.path][operation.method.lower()]
        schema = described["responses"]["200"]["content"]["application/json"]["schema"]
        registry = Registry().with_resource("api:", DRAFT202012.create_resource(document()))
        resolved = {"$id": "api:answer", **_absolute(schema)}
        OAS31Validator(resolved, registry=registry).validate(answer)
        return answer


def _absolute(schema):
    """Let references lead into the document."""
    if isinstance(schema, dict):
        return {
            name: f"api:{each}" if name == "$ref" and each.startswith("#") else _absolute(each)
            for name, each in schema.items()
        }
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema


def refused(code, action, **arguments):
    """Check that an action is refused with this code, which a remote desk quotes from the broker."""
    with pytest.raises(StrongroomError) as caught:
        action(**arguments)
    assert caught.value.code == code or f" {code}: " in caught.value.sentence


# One case for each operation, named after it.


def whoami(desk, shop):
    found = desk.whoami()
    assert (found["name"], found["role"], found["tenant"]) == ("alice", "owner", "*")


def status(desk, shop):
    shop.lease()
    found = desk.status()
    assert (found["tenants"], found["live_leases"], found["revocations"]) == (2, 1, 0)
    assert found["head"]["seq"] == shop.ledger.head().seq


def create_login(desk, shop):
    login = desk.create_login()
    assert len(login["token"]) >= 43
    assert login["expires_ms"] - desk.status()["now_ms"] <= 5 * 60 * 1000


def list_tenants(desk, shop):
    assert [each["name"] for each in desk.list_tenants()] == ["acme", "default"]


def create_tenant(desk, shop):
    assert desk.create_tenant(tenant="corp")["state"] == "active"
    refused("SR-TENANT-TAKEN", desk.create_tenant, tenant="corp")
    refused("SR-ADMIN-ARGUMENT", desk.create_tenant, tenant="../corp")


def suspend_tenant(desk, shop):
    shop.lease()
    assert desk.suspend_tenant(tenant="acme")["state"] == "suspended"
    assert desk.status()["live_leases"] == 0
    refused("SR-UNKNOWN-TENANT", desk.suspend_tenant, tenant="nobody")


def resume_tenant(desk, shop):
    desk.suspend_tenant(tenant="acme")
    assert desk.resume_tenant(tenant="acme")["state"] == "active"


def list_admins(desk, shop):
    [alice] = desk.list_admins()
    assert (alice["name"], alice["role"], alice["state"]) == ("alice", "owner", "active")


def add_admin(desk, shop):
    pem = shop.certificate("bob")
    assert desk.add_admin(name="bob", role="keeper", tenant="acme", certificate=pem)["tenant"] == "acme"
    refused("SR-ADMIN-EXISTS", desk.add_admin, name="eve", role="keeper", tenant="acme", certificate=pem)
    refused("SR-ADMIN-CERTIFICATE", desk.add_admin, name="eve", role="keeper", tenant="acme", certificate="text")


def suspend_admin(desk, shop):
    bob = desk.add_admin(name="bob", role="keeper", tenant="acme", certificate=shop.certificate("bob"))
    assert desk.suspend_admin(fingerprint=bob["fingerprint"])["state"] == "suspended"
    refused("SR-ADMIN-NOT-FOUND", desk.suspend_admin, fingerprint="00" * 32)
    [alice] = [each for each in desk.list_admins() if each["name"] == "alice"]
    refused("SR-ADMIN-LAST-OWNER", desk.suspend_admin, fingerprint=alice["fingerprint"])


def resume_admin(desk, shop):
    bob = desk.add_admin(name="bob", role="keeper", tenant="acme", certificate=shop.certificate("bob"))
    desk.suspend_admin(fingerprint=bob["fingerprint"])
    assert desk.resume_admin(fingerprint=bob["fingerprint"])["state"] == "active"


def remove_admin(desk, shop):
    bob = desk.add_admin(name="bob", role="keeper", tenant="acme", certificate=shop.certificate("bob"))
    assert desk.remove_admin(fingerprint=bob["fingerprint"])["state"] == "removed"
    refused("SR-ADMIN-NOT-FOUND", desk.resume_admin, fingerprint=bob["fingerprint"])


def list_keys(desk, shop):
    assert desk.list_keys(tenant="acme") == []
    desk.create_key(tenant="acme", name="secret/db")
    [found] = desk.list_keys(tenant="acme")
    assert (found["name"], found["version"], found["state"]) == ("secret/db", 1, "active")
    refused("SR-UNKNOWN-TENANT", desk.list_keys, tenant="nobody")


def put_key(desk, shop):
    value = bytes(range(1, 33))
    assert desk.put_key(tenant="acme", name="secret/db", value=Secret(value), expected=0)["version"] == 1
    assert shop.keyring.get("acme", "secret/db") == Secret(value)
    assert desk.put_key(tenant="acme", name="secret/db", value=Secret(b"two"), expected=1)["version"] == 2
    refused("SR-ADMIN-OUTDATED", desk.put_key, tenant="acme", name="secret/db", value=Secret(b"x"), expected=1)
    refused("SR-ADMIN-ARGUMENT", desk.put_key, tenant="acme", name="secret/e", value=Secret(b""), expected=0)
    refused("SR-SECRET-NAME", desk.put_key, tenant="acme", name="secret/../x", value=Secret(b"x"), expected=0)


def create_key(desk, shop):
    assert desk.create_key(tenant="acme", name="model/m/1")["bytes"] == 16
    refused("SR-ADMIN-OUTDATED", desk.create_key, tenant="acme", name="model/m/1")


def rotate_key(desk, shop):
    desk.create_key(tenant="acme", name="secret/db")
    assert desk.rotate_key(tenant="acme", name="secret/db", expected=1)["version"] == 2
    refused("SR-ADMIN-OUTDATED", desk.rotate_key, tenant="acme", name="secret/db", expected=1)  # a retry
    refused("SR-ADMIN-NOT-FOUND", desk.rotate_key, tenant="acme", name="secret/none", expected=1)
    assert max(each["version"] for each in desk.list_keys(tenant="acme")) == 2


def retire_key(desk, shop):
    desk.create_key(tenant="acme", name="secret/db")
    assert desk.retire_key(tenant="acme", name="secret/db", version=1)["name"] == "secret/db"
    assert desk.list_keys(tenant="acme")[0]["state"] == "retired"
    refused("SR-UNKNOWN-SECRET", desk.retire_key, tenant="acme", name="secret/db", version=7)


def destroy_key(desk, shop):
    desk.create_key(tenant="acme", name="secret/db")
    desk.destroy_key(tenant="acme", name="secret/db", version=1)
    assert desk.list_keys(tenant="acme")[0]["state"] == "destroyed"


def rewrap_keys(desk, shop):
    desk.create_key(tenant="acme", name="secret/db")
    assert desk.rewrap_keys(tenant="acme") == {"tenant": "acme", "generation": 2}
    assert len(shop.keyring.get("acme", "secret/db")) == 32


def list_leases(desk, shop):
    lease = shop.lease()
    assert [each["id"] for each in desk.list_leases()] == [lease]
    assert desk.list_leases(tenant="default") == []


def end_lease(desk, shop):
    lease = shop.lease()
    assert desk.end_lease(lease=lease, reason="test")["state"] == "ended"
    assert [each["state"] for each in desk.list_leases()] == ["ended"]
    refused("SR-ADMIN-NOT-FOUND", desk.end_lease, lease=lease, reason="again")


def list_revocations(desk, shop):
    assert desk.list_revocations() == []
    desk.add_revocation(tenant="acme", kind="model", value="m", reason="stolen")
    assert [each["value"] for each in desk.list_revocations(tenant="acme")] == ["m"]
    assert desk.list_revocations(tenant="default") == []


def add_revocation(desk, shop):
    lease = shop.lease()
    done = desk.add_revocation(tenant="*", kind="fmspc", value="00906ed50000", reason="drill")
    assert done["ended"] == [lease]
    again = desk.add_revocation(tenant="*", kind="fmspc", value="00906ED50000", reason="drill")
    assert again["revocation"]["id"] == done["revocation"]["id"]
    refused("SR-REVOCATION", desk.add_revocation, tenant="*", kind="fmspc", value="nothing", reason="x")
    refused("SR-ADMIN-ARGUMENT", desk.add_revocation, tenant="*", kind="person", value="bob", reason="x")


def lift_revocation(desk, shop):
    done = desk.add_revocation(tenant="acme", kind="secret", value="secret/db", reason="x")["revocation"]
    assert desk.lift_revocation(revocation=done["id"], reason="found it")["lifted_ms"]
    assert desk.list_revocations() == []
    refused("SR-REVOCATION-UNKNOWN", desk.lift_revocation, revocation=done["id"], reason="again")


def list_floors(desk, shop):
    desk.raise_floor(tenant="acme", model="m", version=3)
    assert [(each["model"], each["min_version"]) for each in desk.list_floors()] == [("m", 3)]


def raise_floor(desk, shop):
    assert desk.raise_floor(tenant="acme", model="m", version=3)["author"] == "alice"
    assert desk.raise_floor(tenant="acme", model="m", version=3)["min_version"] == 3
    refused("SR-FLOOR-LOWERED", desk.raise_floor, tenant="acme", model="m", version=2)


def show_policy(desk, shop):
    refused("SR-POLICY-VERSION", desk.show_policy, tenant="acme")
    desk.put_policy(tenant="acme", text=NO_RULES)
    assert desk.show_policy(tenant="acme")["text"] == NO_RULES
    assert desk.show_policy(tenant="acme", version=1)["state"] == "in force"


def policy_history(desk, shop):
    desk.put_policy(tenant="acme", text=NO_RULES)
    desk.put_policy(tenant="acme", text=NO_RULES + "# again\n")
    assert [(each["version"], each["state"]) for each in desk.policy_history(tenant="acme")] == [
        (2, "in force"),
        (1, "replaced"),
    ]


def diff_policy(desk, shop):
    desk.put_policy(tenant="acme", text=NO_RULES)
    number = desk.put_policy(tenant="acme", text=WIDER)["proposed"]
    found = desk.diff_policy(tenant="acme", version=number)
    assert [each["rule"] for each in found["admits"]] == ["r"]
    assert found["refuses"] == []


def put_policy(desk, shop):
    assert desk.put_policy(tenant="acme", text=NO_RULES)["version"] == 1
    waits = desk.put_policy(tenant="acme", text=WIDER)
    assert (waits["version"], waits["proposed"]) == (1, 2)
    assert desk.put_policy(tenant="acme", text=WIDER)["proposed"] == 2  # a retry
    refused("SR-POLICY-FILE", desk.put_policy, tenant="acme", text="version = 1\nunknown = 2\n")


def policy_ballot(desk, shop):
    number = desk.put_policy(tenant="acme", text=WIDER)["proposed"]
    ballot = desk.policy_ballot(tenant="acme", version=number)
    assert ballot["replaces"] == "00" * 32
    refused("SR-POLICY-VERSION", desk.policy_ballot, tenant="acme", version=9)


def approve_policy(desk, shop):
    number = desk.put_policy(tenant="acme", text=WIDER)["proposed"]
    vote = shop.vote(desk.policy_ballot(tenant="acme", version=number))
    done = desk.approve_policy(tenant="acme", version=number, vote=vote)
    assert (done["version"], done["proposed"], len(done["voters"])) == (number, None, 1)
    refused("SR-VOTE-REFUSED", desk.approve_policy, tenant="acme", version=number, vote=vote)
    refused("SR-VOTE", desk.approve_policy, tenant="acme", version=number, vote="{}")


def withdraw_policy(desk, shop):
    number = desk.put_policy(tenant="acme", text=WIDER)["proposed"]
    assert desk.withdraw_policy(tenant="acme", version=number)["state"] == "dropped"


def list_decisions(desk, shop):
    numbers = [shop.decide(tenant) for tenant in ("acme", "default", "acme")]
    found = desk.list_decisions(tenant="acme")
    assert [line["seq"] for line in found["lines"]] == [numbers[2], numbers[0]]
    newest = desk.list_decisions(limit=1)
    assert [line["seq"] for line in newest["lines"]] == [numbers[2]]
    assert [line["seq"] for line in desk.list_decisions(before=newest["before"], limit=1)["lines"]] == [numbers[1]]
    assert found["before"] == 0


def ledger_head(desk, shop):
    assert desk.ledger_head()["digest"] == shop.ledger.head().digest


def ledger_checkpoint(desk, shop):
    signed = shop.ledger.sign_root()
    assert desk.ledger_checkpoint()["checkpoint"] == signed.to_text()


def ledger_lines(desk, shop):
    found = desk.ledger_lines(limit=2)["lines"]
    assert [line["seq"] for line in found] == [shop.ledger.head().seq, shop.ledger.head().seq - 1]
    assert found[0]["digest"] == shop.ledger.head().digest


def prove_inclusion(desk, shop):
    shop.decide("acme")
    size = shop.ledger.head().seq + 1
    proof = [each.hex() for each in shop.ledger.prove_inclusion(1, size)]
    assert desk.prove_inclusion(seq=1, size=size) == {"size": size, "hashes": proof}
    refused("SR-ADMIN-ARGUMENT", desk.prove_inclusion, seq=1, size=size + 1000)
    refused("SR-ADMIN-ARGUMENT", desk.prove_inclusion, seq=size, size=size)


def prove_consistency(desk, shop):
    shop.decide("acme")
    size = shop.ledger.head().seq + 1
    proof = [each.hex() for each in shop.ledger.prove_consistency(1, size)]
    assert desk.prove_consistency(old=1, new=size)["hashes"] == proof
    refused("SR-ADMIN-ARGUMENT", desk.prove_consistency, old=2, new=1)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_does_the_same_here_and_over_http(name, desk, shop):
    globals()[name](desk, shop)


@pytest.mark.parametrize("name", sorted(name for name, each in OPERATIONS.items() if each.method == "POST"))
def test_every_change_leaves_one_line_that_names_action_and_person(name, desk, shop):
    """Run the case, and count the lines against the changes that succeeded."""
    done = []
    carry_out = desk._carry_out

    def counted(operation, arguments):
        answer = carry_out(operation, arguments)
        if operation.method == "POST":
            done.append(operation.name)
        return answer

    desk._carry_out = counted
    before = shop.ledger.head().seq
    globals()[name](desk, shop)
    entries = [entry for entry in shop.ledger.entries(before) if entry["kind"] == "admin"]
    assert [entry["action"] for entry in entries] == done
    assert {entry["actor"]["name"] for entry in entries} == {"alice"}
