"""A loopback server with Intel's recorded replies, which misbehaves on request; a clock to turn; a simulated world."""

import base64
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from strongroom.attestation import Anchor, parse_quote
from strongroom.platforms.simulated import EnclaveIdentity, Rehearsal, World

RECORDED_AT = datetime(2025, 6, 11, tzinfo=UTC)  # inside all windows of the recorded replies
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # the simulated world's

Reply = tuple[int, dict[str, str], bytes]


def recorded_replies(vectors: Path) -> dict[str, Reply]:
    """Return what Intel answered on 27 May 2025, by request target."""
    pcs, sgx, tdx = vectors / "pcs", "/sgx/certification", "/tdx/certification"
    enclave, tcb = "SGX-Enclave-Identity-Issuer-Chain", "TCB-Info-Issuer-Chain"
    table = {
        f"{sgx}/v4/tcb?fmspc=00906ED50000": ("sgx_tcb_info_00906ED50000", tcb),
        f"{sgx}/v4/tcb?fmspc=00906ED50000&update=early": ("sgx_tcb_info_early", tcb),
        f"{sgx}/v3/tcb?fmspc=00906ED50000": ("sgx_tcb_info_v3", f"SGX-{tcb}"),
        f"{tdx}/v4/tcb?fmspc=00806F050000": ("tdx_tcb_info", tcb),
        f"{tdx}/v4/tcb?fmspc=00806F050000&tcbEvaluationDataNumber=17": ("tdx_tcb_info_eval17", tcb),
        f"{sgx}/v4/qe/identity": ("sgx_qe_identity", enclave),
        f"{sgx}/v4/qve/identity": ("sgx_qve_identity", enclave),
        f"{sgx}/v4/qae/identity": ("sgx_qae_identity", enclave),
        f"{sgx}/v3/qe/identity": ("sgx_qe_identity_v3", enclave),
        f"{tdx}/v4/qe/identity": ("tdx_qe_identity", enclave),
        f"{tdx}/v4/qe/identity?tcbEvaluationDataNumber=17": ("tdx_qe_identity", enclave),
        f"{sgx}/v4/pckcrl?ca=platform&encoding=der": ("pck_crl_platform", "SGX-PCK-CRL-Issuer-Chain"),
        f"{sgx}/v4/pckcrl?ca=processor": ("pck_crl_processor", "SGX-PCK-CRL-Issuer-Chain"),
        f"{sgx}/v4/pckcrl?ca=processor&encoding=der": ("pck_crl_processor_der", "SGX-PCK-CRL-Issuer-Chain"),
        f"{sgx}/v4/tcbevaluationdatanumbers": ("sgx_tcb_eval_nums", "TCB-Evaluation-Data-Numbers-Issuer-Chain"),
    }
    replies = {target: _reply(pcs / f"{name}.json", header) for target, (name, header) in table.items()}
    collateral = vectors / "dcap" / "collateral" / "real-sgx-v3-0b5bc73c-2025-05-27.json"
    root_crl = json.loads(collateral.read_text())["root_ca_crl"]
    early = f"{sgx}/v4/qe/identity?update=early"
    return {
        **replies,
        early: replies[f"{sgx}/v4/qe/identity"],
        f"{sgx}/v4/rootcacrl": (200, {}, root_crl.encode()),  # hex text, as a PCCS sends it
        f"{sgx}/v3/rootcacrl": (200, {}, root_crl.encode()),
        f"{sgx}/v3/pckcrl?ca=platform&encoding=der": replies[f"{sgx}/v4/pckcrl?ca=platform&encoding=der"],
        f"{sgx}/v3/pckcrl?ca=processor&encoding=der": replies[f"{sgx}/v4/pckcrl?ca=processor&encoding=der"],
    }


def _reply(path: Path, header: str) -> Reply:
    held = json.loads(path.read_text())
    if "crl_data_base64" in held:
        body = base64.b64decode(held["crl_data_base64"])
    else:
        body = next(value for name, value in held.items() if name != "issuer_chain").encode()
    return 200, {header: quote(held["issuer_chain"], safe="")}, body


class LoopbackServer:
    """Serves `replies` by request target. `misbehave` may take over a request; `asked` lists targets and headers."""

    def __init__(self, replies: dict[str, Reply]) -> None:
        self.replies = dict(replies)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.misbehave: Callable[[BaseHTTPRequestHandler], bool] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, dict(self.headers)))
                if outer.misbehave is not None and outer.misbehave(self):
                    return
                parts = urlsplit(self.path)
                target = parts.path + (f"?{parts.query}" if parts.query else "")
                status, headers, body = outer.replies.get(target, (404, {}, b""))
                send(self, status, headers, body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def targets(self) -> list[str]:
        return [target for target, _ in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    if "Content-Length" not in headers:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class Clock:
    """A clock that stands until somebody turns it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def turn(self, **span: float) -> None:
        self.at += timedelta(**span)


@pytest.fixture(scope="session")
def recorded(shared_vectors) -> dict[str, Reply]:
    return recorded_replies(shared_vectors)


@pytest.fixture
def make_server():
    servers: list[LoopbackServer] = []

    def make(replies: dict[str, Reply]) -> LoopbackServer:
        servers.append(LoopbackServer(replies))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def server(make_server, recorded) -> LoopbackServer:
    return make_server(recorded)


@pytest.fixture
def respond():
    """Return the function that sends one reply, for tests that misbehave."""
    return send


@pytest.fixture
def sgx_quote(shared_vectors):
    name = "real-sgx-v3-0b5bc73c-2025-05-27.bin"  # FMSPC 00906ED50000, processor CA
    return parse_quote((shared_vectors / "dcap" / "quotes" / name).read_bytes())


@pytest.fixture
def tdx_quote(shared_vectors):
    name = "real-tdx-v4-4b23198a-2025-07-07.bin"  # FMSPC 00806F050000, platform CA
    return parse_quote((shared_vectors / "dcap" / "quotes" / name).read_bytes())


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    return World.create(tmp_path_factory.mktemp("worlds") / "one", now=NOW - timedelta(days=400))


@pytest.fixture(scope="session")
def world_anchor(world) -> Anchor:
    return Anchor.from_certificate(world.root_der)


@pytest.fixture(scope="session")
def world_quote(world):
    identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)
    return parse_quote(world.quote(identity, bytes(64)))


@pytest.fixture
def recorded_clock() -> Clock:
    return Clock(RECORDED_AT)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def publish(tmp_path, world):
    """Return a function that puts the world's collateral into a mirror folder and returns the folder."""

    def write(name: str = "mirror", *, at: datetime = NOW, number: int = 17, days: float = 30, **more) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        rehearsal = Rehearsal(
            evaluation_number=number,
            qe_evaluation_number=number,
            age=timedelta(0),
            lifetime=timedelta(days=days),
            **more,
        )
        draft = folder / "draft"
        draft.write_text(world.collateral(at, rehearsal).to_json())
        draft.replace(folder / f"{world.fmspc}.json")
        return folder

    return write
