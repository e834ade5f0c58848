"""A double that listens on loopback, a simulated world whose quotes it takes, and services that lie."""

import hashlib
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from strongroom.attestation import Anchor, Policy, TcbStatus, TrustDomain, parse_quote, verify
from strongroom.attestation.tokens import ITA, MAA
from strongroom.collateral.attestation_double import ITA_ISSUER, Double, SigningKey, application
from strongroom.collateral.attestation_service import AttestationService, ServiceAddress
from strongroom.collateral.remote_verifier import RemoteVerifier
from strongroom.collateral.token_keys import FetchedKeys
from strongroom.pki.authority import Authority
from strongroom.platforms.simulated import EnclaveIdentity, World

ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)


@contextmanager
def listening(make_application, **options):
    """Serve `make_application(url)` on a free port of loopback; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as ear:
        url = f"http://127.0.0.1:{ear.getsockname()[1]}"
        config = uvicorn.Config(
            make_application(url), log_level="error", access_log=False, lifespan="off", ws="none", **options
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [ear]})
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=datetime.now(UTC))


@pytest.fixture(scope="session")
def signing_key():
    return SigningKey.create(now=datetime.now(UTC))


@pytest.fixture(scope="session")
def other_signing_key():
    return SigningKey.create(now=datetime.now(UTC))


@dataclass
class Rehearsal:
    """The double and what a test wants to do with it."""

    world: World
    double: Double
    url: str

    def quote(self, bound=b"a key", identity=ENCLAVE):
        return self.world.quote(identity, report_data(bound))

    def service(self, profile=MAA, **options):
        return AttestationService(profile, ServiceAddress.of(self.url), **options)

    def issuer(self, profile=MAA):
        return self.url if profile is MAA else ITA_ISSUER

    def keys(self, profile=MAA, *, folder=None, **options):
        return FetchedKeys(self.service(profile), issuer=self.issuer(profile), folder=folder, **options)

    def verifier(self, profile=MAA, **options):
        return RemoteVerifier(self.service(profile), self.keys(profile), **options)


def report_data(bound):
    return hashlib.sha256(bound).digest() + bytes(32)


@pytest.fixture
def rehearsal(world, signing_key):
    anchor = Anchor.from_certificate(world.root_der)

    def judge(quote):
        now = datetime.now(UTC)
        return verify(quote, world.collateral(now, tee=parse_quote(quote).tee), anchors=[anchor], at=now)

    made = []

    def make(url):
        made.append(Double(url, signing_key, judge=judge, clock=lambda: datetime.now(UTC)))
        return application(made[0])

    with listening(make) as url:
        yield Rehearsal(world, made[0], url)


@pytest.fixture
def serving():
    """Serves an application of the test's own: `with serving(lambda url: application) as url`."""
    return listening


@pytest.fixture
def bound_to():
    return report_data


@pytest.fixture(params=[MAA, ITA], ids=["maa", "ita"])
def profile(request):
    return request.param


@pytest.fixture
def token_policy():
    """A policy for the test's enclave; `lenient` lets pass what Azure's SGX tokens cannot say."""

    def make(*, lenient=False, mrenclave=ENCLAVE.mr_enclave, domain=TrustDomain.SIMULATED):
        unsaid = ("attributes", "allow_provision_key", "allow_einittoken_key", "reserved", "config_id", "config_svn",
                  "isv_ext_prod_id", "isv_family_id", "accepted_tcb_status", "accepted_advisory_ids",
                  "max_collateral_age_days")  # fmt: skip
        return Policy(
            name="token", mrenclave=mrenclave, mrsigner=None, isvprodid=None, min_isvsvn=None,
            accepted_tcb_status=frozenset({TcbStatus.UP_TO_DATE}), accepted_advisory_ids=frozenset(),
            rejected_advisory_ids=frozenset(), allow_debug=False, trust_domains=frozenset({domain}),
            max_collateral_age=timedelta(days=7), accept_unknown=frozenset(unsaid if lenient else ()),
        )  # fmt: skip

    return make


@dataclass
class TlsEar:
    url: str
    ca: Path


@pytest.fixture
def tls_ear(tmp_path, signing_key):
    """A service behind TLS, with a certificate of an authority that nobody knows."""
    authority = Authority.create("test owner", now=datetime.now(UTC))
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
    with leaf.key_pem.reveal() as raw:
        (tmp_path / "key.pem").write_bytes(bytes(raw))

    async def certs(_):
        return JSONResponse(signing_key.key_set())

    application = Starlette(routes=[Route("/certs", certs)])
    tls = {"ssl_certfile": str(tmp_path / "leaf.pem"), "ssl_keyfile": str(tmp_path / "key.pem")}
    with listening(lambda _: application, **tls) as url:
        yield TlsEar(url.replace("http://127.0.0.1", "https://localhost"), tmp_path / "ca.pem")
