"""The local PCCS as an installed command: `dcap-qvl`'s own HTTP client and ours fetch from it and verify."""

import asyncio
import base64
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dcap_qvl
import pytest

from strongroom.attestation import INTEL, Anchor, CertificationType, Collateral, Tee, fmspc_of, parse_quote, verify
from strongroom.collateral.api import Request
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.checks import Circumstances, check
from strongroom.collateral.client import HttpSource
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.gather import Platform
from strongroom.collateral.profiles import find
from strongroom.collateral.sources import LiveSource
from strongroom.platforms.simulated import EnclaveIdentity, TdIdentity, World

STRONGROOM = Path(sys.executable).with_name("strongroom")
RECORDED_AT = datetime(2025, 6, 11, tzinfo=UTC)
STOP_S = 60
EVERYWHERE = "0.0.0.0"  # noqa: S104  # to be refused, or over TLS alone


class Serving:
    """A `strongroom pccs serve` that listens."""

    def __init__(self, *words, cwd):
        self._log = cwd / f"pccs-{id(self)}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [STRONGROOM, "pccs", "serve", "--port", "0", *map(str, words)],
                cwd=cwd, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.line = self.process.stdout.readline()
        self.url = self.line.split()[-1] if self.line else ""

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=STOP_S)
        return self.process.returncode, out, self._log.read_text()

    def get(self, target, method="GET", headers=(), body=None):
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=STOP_S)
        try:
            connection.request(method, target, body=body, headers=dict(headers))
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            connection.close()


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(*words):
        running.append(Serving(*words, cwd=tmp_path))
        return running[-1]

    yield start
    for serving in running:
        serving.process.kill()
        serving.process.wait(STOP_S)
        serving.process.stdout.close()


@pytest.fixture
def world(tmp_path):
    return World.create(tmp_path / "world", now=datetime.now(UTC))


@pytest.fixture
def enclave(world):
    return EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)


@pytest.fixture
def simulated(serve, world, tmp_path):
    """A server of the world's collateral; the world is there already."""
    assert world.fmspc
    return serve("--world", tmp_path / "world", "--beside-real-tee")


def their_collateral(url, quote):
    """Fetch with `dcap-qvl`'s client."""

    async def fetch():
        return await dcap_qvl.get_collateral(url, quote)

    return asyncio.run(fetch())


def our_collateral(url, quote, **options):
    return HttpSource(find(url), **options).collateral_for(parse_quote(quote))


def run(*words):
    return subprocess.run([STRONGROOM, *map(str, words)], capture_output=True, text=True, timeout=STOP_S, check=False)


@pytest.mark.parametrize(
    "kind", [CertificationType.PCK_CHAIN, CertificationType.RSA_3072_PPID, CertificationType.RSA_2048_PPID]
)
def test_both_clients_fetch_and_verify_sgx_quotes_of_a_simulated_world(simulated, world, enclave, kind):
    quote, at = world.quote(enclave, bytes(64), certification_type=kind), datetime.now(UTC)
    anchors = [Anchor.from_certificate(world.root_der)]
    assert verify(quote, our_collateral(simulated.url, quote), anchors=anchors, at=at).status.value == "UpToDate"
    if kind is not CertificationType.RSA_2048_PPID:  # dcap-qvl sends its short PPID too, which PCCS refuses
        theirs = their_collateral(simulated.url, quote)
        report = dcap_qvl.verify_with_root_ca(quote, theirs, world.root_der, int(at.timestamp()))
        assert report.status == "UpToDate"


def test_both_clients_fetch_and_verify_a_simulated_trust_domain(simulated, world):
    quote, at = world.quote(TdIdentity(mr_td=bytes(48)), bytes(64)), datetime.now(UTC)
    report = dcap_qvl.verify_with_root_ca(
        quote, their_collateral(simulated.url, quote), world.root_der, int(at.timestamp())
    )
    assert report.status == "UpToDate"
    verdict = verify(
        quote, our_collateral(simulated.url, quote), anchors=[Anchor.from_certificate(world.root_der)], at=at
    )
    assert verdict.tee is Tee.TDX


def test_under_intels_root_simulated_collateral_never_verifies(simulated, world, enclave):
    quote = world.quote(enclave, bytes(64))

    async def fetch_and_verify():
        return await dcap_qvl.get_collateral_and_verify(quote, simulated.url)

    with pytest.raises(ValueError, match=r"."):
        asyncio.run(fetch_and_verify())


def test_the_early_update_differs_from_the_standard_one(serve, world, enclave, tmp_path):
    server = serve("--world", tmp_path / "world", "--beside-real-tee", "--early", "--status", "OutOfDate",
                   "--advisory", "INTEL-SA-00001", "--evaluation-number", "19")  # fmt: skip
    from strongroom.collateral.gather import Choice

    quote, seen = world.quote(enclave, bytes(64)), {}
    for choice in (Choice(), Choice(update="early"), Choice(number=19), Choice(number=18)):
        collateral = our_collateral(server.url, quote, choice=choice)
        verdict = verify(quote, collateral, anchors=[Anchor.from_certificate(world.root_der)], at=datetime.now(UTC))
        seen[choice.number or choice.update] = (verdict.status.value, verdict.advisories)
    late = ("OutOfDate", ("INTEL-SA-00001",))
    assert seen == {"standard": ("UpToDate", ()), "early": late, 19: late, 18: ("UpToDate", ())}


def real_vectors(shared_vectors, count=6):
    """Yield some real quotes of each TEE with their collateral, the newest first."""
    index = json.loads((shared_vectors / "dcap" / "index.json").read_bytes())["vectors"]
    for tee in ("SGX", "TDX"):
        fitting = [each for each in index if each["kind"] == "real" and each["tee"] == tee
                   and each["dcap_qvl_0_7_0"]["verdict"] == "ok"]  # fmt: skip
        yield from sorted(fitting, key=lambda each: -each["verification_time"])[:count]


def test_both_clients_fetch_and_verify_real_quotes_from_collateral_files(serve, shared_vectors, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    server = serve("--folder", folder)
    for entry in real_vectors(shared_vectors):
        for path in folder.iterdir():
            path.unlink()
        quote = (shared_vectors / "dcap" / entry["quote"]).read_bytes()
        suffix = "-tdx" if entry["tee"] == "TDX" else ""
        name = f"{fmspc_of(parse_quote(quote))}{suffix}.json"
        (folder / name).write_bytes((shared_vectors / "dcap" / entry["collateral"]).read_bytes())
        at = entry["verification_time"]
        theirs = dcap_qvl.verify(quote, their_collateral(server.url, quote), at)
        ours = verify(quote, our_collateral(server.url, quote), anchors=[INTEL], at=datetime.fromtimestamp(at, UTC))
        assert (theirs.status, ours.status.value) == (entry["expected"]["status"],) * 2, entry["id"]


@pytest.fixture
def recorded(serve, shared_vectors, tmp_path):
    """A server of Intel's recorded answers, and of a root CRL of that time from the collateral vectors."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    for path in (shared_vectors / "pcs").glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    crl = base64.b64encode(real_root_crl(shared_vectors)).decode()
    (folder / "root_ca_crl.json").write_text(json.dumps({"crl_data_base64": crl}))
    return serve("--recorded", folder)


def real_root_crl(shared_vectors):
    from strongroom.attestation.codes import EvidenceCode, EvidenceRefused, refusal
    from strongroom.attestation.crl import parse_crl
    from strongroom.attestation.signatures import signed_der

    for path in sorted((shared_vectors / "dcap" / "collateral").glob("*.json")):
        der = bytes.fromhex(Collateral.from_json(path.read_bytes()).root_ca_crl)
        try:
            crl = parse_crl(der, what="root CRL", error=refusal(EvidenceCode.MALFORMED))
        except EvidenceRefused:
            continue
        if crl.this_update <= RECORDED_AT <= crl.next_update and signed_der(
            INTEL.public_key, crl.signature, crl.signed
        ):
            return der
    raise AssertionError("no root CRL of that time among the vectors")


RECORDED = (
    "/sgx/certification/v4/rootcacrl",
    "/sgx/certification/v4/tcb?fmspc=00906ED50000",
    "/sgx/certification/v4/tcb?fmspc=00906ED50000&update=early",
    "/sgx/certification/v3/tcb?fmspc=00906ED50000",
    "/tdx/certification/v4/tcb?fmspc=00806F050000",
    "/tdx/certification/v4/tcb?fmspc=00806F050000&tcbEvaluationDataNumber=17",
    "/sgx/certification/v4/qe/identity",
    "/sgx/certification/v3/qe/identity",
    "/sgx/certification/v4/qve/identity",
    "/sgx/certification/v4/qae/identity",
    "/tdx/certification/v4/qe/identity",
    "/sgx/certification/v4/pckcrl?ca=platform",
    "/sgx/certification/v4/pckcrl?ca=processor",
    "/sgx/certification/v4/pckcrl?ca=processor&encoding=der",
    "/sgx/certification/v4/tcbevaluationdatanumbers",
    "/tdx/certification/v4/tcbevaluationdatanumbers",
)


def test_recorded_answers_of_intel_come_over_http_with_their_signatures_intact(recorded):
    under = Circumstances(anchors=(INTEL,), at=RECORDED_AT)
    sources = {4: HttpSource(find(recorded.url)), 3: HttpSource(find(f"{recorded.url}/sgx/certification/v3/"))}
    for target in RECORDED:
        request = Request.parse(*target.partition("?")[::2])
        checked = check(Exchange(request, sources[request.version].answer(request)), under)
        assert checked.span.issued <= RECORDED_AT <= checked.span.until, target
        under = under if checked.crl is None or "root" not in checked.subject else Circumstances(
            anchors=(INTEL,), at=RECORDED_AT, root_crl=checked.crl)  # fmt: skip


def test_the_live_client_accepts_the_recorded_answers_at_their_time_and_no_later(recorded):
    def live(at):
        return LiveSource([HttpSource(find(recorded.url))], anchors=[INTEL], clock=lambda: at,
                          rules=Freshness(max_age=timedelta(days=30)))  # fmt: skip

    for tee, fmspc, ca in ((Tee.SGX, "00906ED50000", "processor"), (Tee.TDX, "00806F050000", "platform")):
        platform = Platform(tee=tee, fmspc=fmspc, ca=ca)
        assert live(RECORDED_AT).collateral_of(platform)
        with pytest.raises(Exception, match="no source has"):
            live(RECORDED_AT + timedelta(days=30)).collateral_of(platform)


def test_a_mirror_serves_on_while_upstream_is_down_and_elsewhere_without_network(
    serve, simulated, world, enclave, tmp_path
):
    root, quote = tmp_path / "root.der", tmp_path / "quote.bin"
    root.write_bytes(world.root_der)
    quote.write_bytes(world.quote(enclave, bytes(64), certification_type=CertificationType.RSA_3072_PPID))
    options = ("--cache", tmp_path / "cache", "--root", root)
    done = run("pccs", "fill", "--upstream", simulated.url, *options, "--fmspc", world.fmspc, "--quote", quote,
               "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{world.fmspc}: fetched for SGX and TDX" in done.stdout
    mirror = serve("--upstream", simulated.url, *options)
    assert simulated.stop()[0] == 0
    offline = serve("--mode", "OFFLINE", *options)
    elsewhere = serve("--recorded", tmp_path / "out")
    for server in (mirror, offline, elsewhere):
        report = dcap_qvl.verify_with_root_ca(
            quote.read_bytes(), their_collateral(server.url, quote.read_bytes()), world.root_der,
            int(datetime.now(UTC).timestamp()),
        )  # fmt: skip
        assert report.status == "UpToDate"
    assert mirror.get("/sgx/certification/v4/qve/identity")[0] == 503
    assert offline.get("/sgx/certification/v4/qve/identity")[0] == 404


def test_a_family_that_nobody_knows_is_said_so(simulated, world, tmp_path):
    (tmp_path / "root.der").write_bytes(world.root_der)
    done = run("pccs", "fill", "--upstream", simulated.url, "--cache", tmp_path / "cache", "--root",
               tmp_path / "root.der", "--fmspc", "000000000000")  # fmt: skip
    assert done.returncode == 4
    assert "SR-COLLATERAL-UNAVAILABLE" in done.stderr


def test_a_machine_registers_and_its_administrator_takes_over(serve, world, tmp_path):
    tokens = {}
    for role in ("user", "admin"):
        tokens[role] = run("pccs", "token", "--file", tmp_path / "tokens", "--role", role).stdout.strip()
    server = serve("--world", tmp_path / "world", "--beside-real-tee", "--tokens", tmp_path / "tokens",
                   "--state", tmp_path / "state")  # fmt: skip
    machine = json.dumps({"qe_id": world.hardware.qe_id.hex(), "pce_id": "0000", "enc_ppid": "AB" * 384})
    target = "/sgx/certification/v4/platforms"
    assert server.get(target, "POST", {"user-token": tokens["admin"]}, machine)[0] == 401
    assert server.get(target, "POST", {"user-token": tokens["user"]}, machine)[0] == 200
    status, headers, body = server.get(target, headers={"admin-token": tokens["admin"]})
    assert (status, headers["platform-count"]) == (200, "1")
    assert json.loads(body)[0]["qe_id"] == world.hardware.qe_id.hex().upper()
    status, _, log = server.stop()
    assert status == 0
    assert not [token for token in tokens.values() if token in log]
    assert "AB" * 384 not in log


def test_the_ready_line_names_the_port_and_sigterm_ends_it_well(serve, world, tmp_path):
    server = serve("--world", tmp_path / "world", "--beside-real-tee", "--ready-file", tmp_path / "ready")
    parts = urlsplit(server.url)
    assert server.line == f"PCCS listens on http://127.0.0.1:{parts.port}\n"
    assert (tmp_path / "ready").read_text() == f"127.0.0.1:{parts.port}\n"
    with socket.create_connection(("127.0.0.1", parts.port)):  # an idle peer does not hold up the end
        status, out, log = server.stop()
    assert (status, out) == (0, "")
    assert "Traceback" not in log
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", parts.port))


def test_with_a_self_made_certificate_other_machines_may_ask(serve, world, enclave, tmp_path):
    server = serve(
        "--world", tmp_path / "world", "--beside-real-tee", "--tls", tmp_path / "tls", "--address", EVERYWHERE
    )
    url = server.url.replace(EVERYWHERE, "127.0.0.1")
    assert url.startswith("https://")
    quote = world.quote(enclave, bytes(64))
    collateral = our_collateral(url, quote, ca_file=tmp_path / "tls" / "ca.pem")
    verify(quote, collateral, anchors=[Anchor.from_certificate(world.root_der)], at=datetime.now(UTC))
    with pytest.raises(Exception, match="certificate"):
        our_collateral(url, quote)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(tmp_path / "tls" / "ca.pem")
    with (
        socket.create_connection(("127.0.0.1", urlsplit(url).port)) as plain,
        old.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.version() in {"TLSv1.2", "TLSv1.3"}
    assert (tmp_path / "tls" / "ca_key.pem").stat().st_mode & 0o777 == 0o600
    first = (tmp_path / "tls" / "ca.pem").read_bytes()
    assert server.stop()[0] == 0
    again = serve("--world", tmp_path / "world", "--beside-real-tee", "--tls", tmp_path / "tls")
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == first  # what clients pinned stays
    assert our_collateral(again.url, quote, ca_file=tmp_path / "tls" / "ca.pem")


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("--folder", ".", "--address", EVERYWHERE), 3, "SR-PCCS-PLAINTEXT"),
        ((), 1, "SR-MISUSE"),
        (("--folder", "."), None, None),
        (("--folder", ".", "--cert", "x"), 1, "SR-MISUSE"),
        (("--folder", ".", "--tokens", "x"), 1, "SR-MISUSE"),
        (("--upstream", "intel-pcs"), 1, "SR-MISUSE"),
        (("--cache", "c", "--upstream", "nobody"), 2, "SR-COLLATERAL-SOURCE-NAME"),
        (("--recorded", "absent"), 2, "SR-FILE"),
        (("--folder", ".", "--port", "70000"), 1, "SR-MISUSE"),
    ],
)
def test_what_cannot_be_served_is_said_before_listening(serve, tmp_path, words, status, code):
    if status is None:
        assert serve(*words).line
        return
    done = subprocess.run([STRONGROOM, "pccs", "serve", "--port", "0", *words], cwd=tmp_path, capture_output=True,
                          text=True, timeout=STOP_S, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert code in done.stderr


IMPATIENT = """
import sys
from pathlib import Path
from strongroom.collateral import pccs
from strongroom.collateral.pccs import server

server.REQUEST_S = 0.5
pccs.serve(pccs.make_app(pccs.Files(Path("."))), pccs.Place(), ready=lambda port: print(port, flush=True))
"""


@pytest.fixture
def impatient(tmp_path):
    """The port of a server that gives a peer half a second for a request's head."""
    process = subprocess.Popen([sys.executable, "-c", IMPATIENT], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        assert process.wait(STOP_S) == 0
        process.stdout.close()


ROOT_CRL = b"GET /sgx/certification/v4/rootcacrl HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /sgx/cert", b"GET / HTTP/1.1\r\nHost: x\r\n", ROOT_CRL, ROOT_CRL + b"GET /sgx/certif"],
    ids=["nothing", "half a line", "half a head", "a whole request, then nothing", "a whole one, then half"],
)
def test_a_peer_that_dawdles_loses_its_connection(impatient, sent):
    with socket.create_connection(("127.0.0.1", impatient), timeout=STOP_S) as peer:
        peer.sendall(sent)
        received = b""
        while chunk := peer.recv(65536):
            received += chunk
    assert received.count(b"404 Not Found") == (1 if b"\r\n\r\n" in sent else 0)


def test_fb_16_one_address_cannot_take_all_the_room(simulated):
    parts = urlsplit(simulated.url)
    idle = [socket.create_connection((parts.hostname, parts.port)) for _ in range(600)]
    try:
        other = http.client.HTTPConnection(parts.hostname, parts.port, timeout=STOP_S, source_address=("127.0.0.2", 0))
        other.request("GET", "/sgx/certification/v4/rootcacrl")
        assert other.getresponse().status == 200
        other.close()
    finally:
        for each in idle:
            each.close()


def test_fb_16_idle_peers_do_not_keep_others_out_and_a_huge_head_is_refused(simulated):
    port = urlsplit(simulated.url).port
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(150)]
    try:
        assert simulated.get("/sgx/certification/v4/rootcacrl")[0] == 200
        status, _, body = simulated.get("/sgx/certification/v4/rootcacrl", headers={"x": "y" * 60_000})
        assert (status, body) == (431, b"The request's head is too large.")
    finally:
        for each in idle:
            each.close()
