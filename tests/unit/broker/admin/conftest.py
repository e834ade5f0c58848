"""An administration on a real store, people with certificates, and its API behind real mutual TLS."""

import asyncio
import itertools
import json
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.applications import Starlette

from strongroom.broker import tenants
from strongroom.broker.admin import Actor, Administration, Parts, Role
from strongroom.broker.admin.api import routes
from strongroom.broker.admin.client import RemoteAdministration
from strongroom.broker.admin.identities import new_identity
from strongroom.broker.keyring import file_root
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import new_root_key
from strongroom.broker.ledger.ledger import Ledger
from strongroom.broker.policy.policies import Policies
from strongroom.broker.store.opening import open_store
from strongroom.broker.web import WebServer, tls_context
from strongroom.pki.authority import Authority

NAMES = ["localhost", "127.0.0.1"]


@dataclass
class Office:
    """One store with two tenants, and everything that acts on it."""

    administration: Administration
    store: object
    ledger: Ledger
    keyring: Keyring
    owner: Actor = field(default_factory=lambda: Actor(name="workspace:test", role=Role.OWNER))

    def __getattr__(self, name):
        """Act as the owner: `office.list_tenants()`."""
        return lambda **arguments: getattr(self.administration, name)(self.owner, **arguments)

    def actor(self, role="owner", tenant="*", name="somebody"):
        return Actor(name=name, role=Role(role), tenant=tenant)

    def entries(self, kind="admin"):
        return [entry for entry in self.ledger.entries() if entry["kind"] == kind]

    def text(self):
        """Everything that the ledger says."""
        return json.dumps(list(self.ledger.entries()))


@pytest.fixture
def office(tmp_path):
    store = open_store(tmp_path / "broker.db")
    keyring = Keyring(store, file_root.write_file(tmp_path / "root.key", new_root_key()))
    keyring.begin()
    ledger = Ledger(store, keyring.signing_key())
    store.write(tenants.ensure_default)
    parts = Parts(store=store, keyring=keyring, ledger=ledger, policies=Policies(store), root="a file")
    found = Office(Administration(parts), store, ledger, keyring)
    found.create_tenant(tenant="acme")
    found.create_tenant(tenant="bolt")
    yield found
    keyring.close()
    store.close()


@pytest.fixture(scope="session")
def authority():
    return Authority.create("test owner CA", now=datetime.now(UTC))


@dataclass
class Site:
    """The office's API on a port of this machine."""

    office: Office
    authority: Authority
    folder: Path
    port: int = 0
    numbers: itertools.count = field(default_factory=itertools.count)
    desks: list = field(default_factory=list)

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def identity(self, name="alice", role="owner", tenant="*", *, leaf=None, register=True):
        """Make a person's folder, and register the certificate."""
        leaf = leaf or self.authority.issue_client(f"{name}@people.test", now=datetime.now(UTC))
        folder = self.folder / f"identity-{next(self.numbers)}"
        with new_identity(folder, leaf, ca_pem=self.authority.certificate_pem):
            pass
        if register:
            self.office.add_admin(name=name, role=role, tenant=tenant, certificate=leaf.certificate_pem.decode())
        return folder

    def desk(self, *args, **options):
        """Return a remote administration as a person with a new certificate."""
        return self.desk_of(self.identity(*args, **options))

    def desk_of(self, folder):
        found = RemoteAdministration.open(self.url, folder)
        self.desks.append(found)
        return found

    def raw(self, request, folder=None):
        """Send bytes over TLS, with or without a certificate; return status, headers and body as they came."""
        context = ssl.create_default_context(cadata=self.authority.certificate_pem.decode())
        if folder is not None:
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        with (
            socket.create_connection(("localhost", self.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            tls.sendall(request)
            answer = b"".join(iter(lambda: tls.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = dict(line.decode("latin-1").lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), headers, body

    def ask(self, method, path, folder=None, *, body=None, headers=()):
        """Send one request, and close."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
        if body is not None:
            lines += [f"Content-Length: {len(content)}"]
            if not any(line.lower().startswith("content-type") for line in headers):
                lines += ["Content-Type: application/json"]
        return self.raw("\r\n".join([*lines, "", ""]).encode() + content, folder)


@pytest.fixture
def site(office, authority, tmp_path):
    leaf = authority.issue_server(NAMES, now=datetime.now(UTC))
    context = tls_context(leaf.certificate_pem, leaf.key_pem, client_ca_pem=authority.certificate_pem)
    server = WebServer(Starlette(routes=routes(office.administration)), context, name="admin")
    found = Site(office, authority, tmp_path)
    with in_a_thread(server) as port:
        found.port = port
        yield found
        for desk in found.desks:
            desk.close()


@contextmanager
def in_a_thread(server):
    """Run an event loop with the server beside the test."""
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
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.fixture
def certificate(authority):
    """Return a new client certificate as PEM text."""
    return lambda name="bob": authority.issue_client(
        f"{name}@people.test", now=datetime.now(UTC)
    ).certificate_pem.decode()
