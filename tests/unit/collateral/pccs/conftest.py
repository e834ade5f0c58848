"""A simulated world served in memory, Intel's recorded answers, and a way to call an ASGI application."""

import asyncio
import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pytest

from strongroom.attestation import Collateral
from strongroom.cli.pccs_world import world_stock
from strongroom.collateral import pccs
from strongroom.collateral.api import Request
from strongroom.platforms.simulated import EnclaveIdentity, Rehearsal, World

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RECORDED_AT = datetime(2025, 6, 11, tzinfo=UTC)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


def call(app, method, target, headers=(), chunks=(b"",)):
    """Call an ASGI application once and return its reply."""
    path, _, query = target.partition("?")
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
             "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
             "headers": [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()],
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8081)}  # fmt: skip
    incoming = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    incoming[-1]["more_body"] = False
    sent = []

    async def receive():
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    names = [name.decode().lower() for name, _ in start["headers"]]
    assert len(names) == len(set(names))
    return Reply(
        status=start["status"],
        headers={name.decode().lower(): value.decode() for name, value in start["headers"]},
        body=b"".join(message.get("body", b"") for message in rest),
    )


@pytest.fixture(scope="session")
def ask():
    """Return the function that calls an application: (app, method, target, headers, chunks) -> Reply."""
    return call


@pytest.fixture(scope="session")
def get():
    """Return the function that asks a backend for a target."""

    def answer(backend, target):
        path, _, query = target.partition("?")
        return backend.answer(Request.parse(path, query))

    return answer


@pytest.fixture(scope="session")
def now():
    return NOW


@pytest.fixture(scope="session")
def recorded_at():
    return RECORDED_AT


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW)


@pytest.fixture(scope="session")
def identity(world):
    return EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)


@pytest.fixture(scope="session")
def stock(world):
    """Return how to make the world's stock: the early update is number 18 and outdated, the standard one 17."""
    early = Rehearsal(advisories=("INTEL-SA-00001",), evaluation_number=18, qe_evaluation_number=18)
    return partial(world_stock, world, standard=early.standard, early=early)


@pytest.fixture
def simulated(stock):
    return pccs.Made(stock, clock=lambda: NOW)


@pytest.fixture
def recorded_folder(shared_vectors, tmp_path):
    """Intel's recorded answers, with a root CRL of the same time from the collateral vectors."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    for path in (shared_vectors / "pcs").glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    crl = real_root_crl(shared_vectors)
    wrapped = {"crl_data_base64": base64.b64encode(crl).decode()}
    (folder / "root_ca_crl.json").write_text(json.dumps(wrapped))
    return folder


def real_root_crl(shared_vectors):
    """Return a root CRL of Intel's that counts while the recorded answers do."""
    from cryptography import x509

    for path in sorted((shared_vectors / "dcap" / "collateral").glob("*.json")):
        collateral = Collateral.from_json(path.read_bytes())
        der = bytes.fromhex(collateral.root_ca_crl)
        if not der:
            continue
        try:
            crl = x509.load_der_x509_crl(der)
        except ValueError:
            continue
        names = crl.issuer.rfc4514_string()
        if "Intel SGX Root CA" in names and crl.last_update_utc <= RECORDED_AT <= crl.next_update_utc:
            return der
    raise AssertionError("no root CRL of that time among the vectors")
