"""A sealed model from the owner's machine to a client: broker, simulated platform and replica as processes."""

import base64
import contextlib
import http.client
import importlib.util
import json
import shutil
import ssl
import sys
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation import Anchor, parse_quote, verify
from strongroom.attestation.binding import report_data_for
from strongroom.cli import main
from strongroom.collateral import Folder
from strongroom.platforms.simulated import World

STRONGROOM = [sys.executable, "-m", "strongroom"]
NAME = "sealed-model"


@pytest.fixture(scope="module")
def owner(tmp_path_factory, simulated_owner, models):
    """A workspace, a sealed version 1, a simulated world whose quotes the owner can check, TLS files for a client."""
    folder = tmp_path_factory.mktemp("owner")
    source = folder / "plain" / "1"
    source.mkdir(parents=True)
    (source / "model.onnx").write_bytes(models.half_plus(2))
    found = simulated_owner(folder)
    found.do("certs", "two-way", "--server", "localhost", "--client", "client.example", "--out", folder / "ssl")
    found.do("model", "publish", source, "--name", NAME, "--version", "1", "--out", folder / "models", "--ssl-config",
             folder / "ssl" / "ssl.cfg")  # fmt: skip
    client = folder / "ssl" / "client"
    ca = client.parent / "ca_cert.pem"
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(client / "cert.pem", client / "key.pem")
    pems = [path.read_bytes() for path in (ca, client / "key.pem", client / "cert.pem")]
    found.files = SimpleNamespace(context=context, credentials=grpc.ssl_channel_credentials(*pems))
    found.source = source
    return found


@pytest.fixture(scope="module")
def broker(owner):
    """The address of a broker process that speaks Gramine's protocol."""
    with owner.broker() as found:
        yield found.gramine


@pytest.fixture
def replica(owner, measured_program, tmp_path, ports, launcher):
    """Launch a replica on the simulated platform, from a folder that an operator holds."""
    shutil.copytree(owner.folder / "models", tmp_path / "models")
    shutil.copy(owner.ca, tmp_path)
    shutil.copy(owner.folder / "workspace" / "signing" / "owner_public.pem", tmp_path)

    def manifest(broker, *words, name=NAME, ssl_config="ssl.cfg"):
        flags = [
            f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--model_name={name}",
            f"--model_base_path=models/{name}", f"--ssl_config_file=models/{ssl_config}", f"--broker={broker}",
            "--broker_ca=ca_cert.pem", "--owner_key=owner_public.pem", "--broker_wait_seconds=10", *words,
        ]  # fmt: skip
        return measured_program(tmp_path / "replica.manifest", ["serve", *flags], "ca_cert.pem", "owner_public.pem")

    def launch(broker, *words, **named):
        path = manifest(broker, *words, **named)
        run = [*STRONGROOM, "sim", "run", *owner.world, str(path)]
        return launcher.run(run, ports=ports, cwd=tmp_path, files=owner.files)

    def trust(broker, *words, **named):
        owner.trust(manifest(broker, *words, **named), [f"model/{named.get('name', NAME)}/1"])

    return SimpleNamespace(launch=launch, trust=trust, folder=tmp_path)


def predict(server, value, name=NAME):
    status, _, body = server.rest("POST", f"/v1/models/{name}:predict", json.dumps({"inputs": [value]}))
    assert status == 200, body
    return json.loads(body)["outputs"]


def test_a_trusted_replica_serves_a_sealed_model_and_proves_itself(owner, broker, replica):
    replica.trust(broker)
    before = {path: path.read_bytes() for path in replica.folder.rglob("*") if path.is_file()}
    server = replica.launch(broker).wait_ready()
    assert predict(server, 2.0) == [3.0]
    assert "(sealed), mutual TLS, platform simulated" in server.log

    # It proves what it is: a fresh quote over the key of this very TLS connection.
    nonce = bytes(range(32))
    connection = server.connection()
    connection.request("GET", f"/strongroom/v1/evidence?nonce={nonce.hex()}")
    answer = json.loads(connection.getresponse().read())
    certificate = x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True))
    connection.close()
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert answer["form"] == "serve-v1"
    quote = base64.b64decode(answer["quote"])
    anchor = Anchor.from_certificate(World.open(owner.folder / "world").root_der)
    source = Folder(owner.folder / "workspace" / "trust" / "collateral")
    verdict = verify(quote, source.collateral_for(parse_quote(quote)), anchors=[anchor], at=datetime.now(UTC))
    assert verdict.body.report_data == report_data_for("serve", spki, nonce, "")
    assert verdict.trust_domain == "simulated"

    # Nothing readable reached a disk, and a version under another key changes nothing.
    after = {path: path.read_bytes() for path in replica.folder.rglob("*") if path.is_file()}
    assert {path: data for path, data in after.items() if path.name != "measurement.json"} == {
        path: data for path, data in before.items() if path.name != "measurement.json"
    }
    assert not [path for path, data in after.items() if b"half" in data and path.suffix != ".manifest"]
    assert main(["model", "publish", str(owner.source), "--name", NAME, "--version", "2", "--out",
                 str(replica.folder / "new"), *owner.workspace]) == 0  # fmt: skip
    (replica.folder / "new" / NAME / "2").rename(replica.folder / "models" / NAME / "2")
    server.wait_for("version 2 is not served")
    assert "SR-BUNDLE-KEY" in server.log
    _status, _, body = server.rest("GET", f"/v1/models/{NAME}")
    rows = {row["version"]: row for row in json.loads(body)["model_version_status"]}
    assert (rows["2"]["state"], rows["1"]["state"]) == ("END", "AVAILABLE")
    assert predict(server, 2.0) == [3.0]
    assert server.end()[0] == 0


def test_a_replica_that_nobody_trusts_ends_with_status_3_and_never_listens(broker, replica, ports):
    server = replica.launch(broker, "--drain_seconds=29")
    status, _, log = server.end(0)
    assert status == 3
    assert "SR-KEY-NOT-RELEASED" in log
    assert "Running gRPC" not in log
    assert "Traceback" not in log


def test_kd_07_one_changed_byte_in_the_bundle_ends_with_status_3(broker, replica):
    replica.trust(broker)
    sealed = replica.folder / "models" / NAME / "1" / "model.onnx"
    data = bytearray(sealed.read_bytes())
    data[100] ^= 1
    sealed.write_bytes(data)
    status, _, log = replica.launch(broker).end(0)
    assert status == 3
    assert "tampered" in log
    assert "Running gRPC" not in log
    assert "Traceback" not in log


def test_a_broker_that_is_not_there_ends_with_status_4(replica):
    status, _, log = replica.launch("localhost:1", "--broker_wait_seconds=0.5").end(0)
    assert status == 4
    assert "SR-KEY-NO-BROKER" in log
    assert "Traceback" not in log


def test_a_replica_that_waits_for_its_broker_stops_when_told(replica):
    server = replica.launch("localhost:1", "--broker_wait_seconds=600")
    server.wait_for("waiting for key")
    status, _, log = server.end()
    assert status == 0
    assert "Traceback" not in log


def probe(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()
    finally:
        connection.close()


def until(server, port, wanted):
    """Ask for readiness until it is as wanted; return it."""
    pause, seen = threading.Event(), None
    for _ in range(1200):
        assert server.process.poll() is None, server.log
        with contextlib.suppress(ConnectionRefusedError):
            seen = probe(port)
            if wanted(*seen):
                return seen
        pause.wait(0.05)
    raise AssertionError(f"the health port says {seen}\n{server.log}")


def test_sv_19_a_replica_waits_for_its_key_with_the_reason_then_serves_then_loses_and_regains_its_lease(
    owner, broker, replica, two_more_ports
):
    late = owner.folder / "late"
    words = ["--status", "OutOfDate", "--advisory", "INTEL-SA-00615"]
    assert main(["sim", "collateral", *owner.world, "--out", str(late), *words]) == 0
    shutil.copytree(late / "collateral", replica.folder / "late")
    shutil.copy(late / "anchors" / "simulated.der", replica.folder / "root.der")
    port = two_more_ports[0]
    flags = ["--wait_for_key", f"--health_port={port}", "--self_check=./late", "--self_check_root=root.der",
             "--key_lease_seconds=6"]  # fmt: skip
    server = replica.launch(broker, *flags)
    status, reason = until(server, port, lambda _status, reason: "TCB" in reason)
    assert status == 503
    assert reason.startswith("waiting for key: TCB OutOfDate (INTEL-SA-00615); ")
    assert "Running gRPC" not in server.log

    rules = owner.folder / "workspace" / "policy.toml"
    before = rules.read_bytes()
    replica.trust(broker, *flags)
    trusted = rules.read_bytes()
    server.wait_ready()
    assert until(server, port, lambda status, _reason: status == 200) == (200, "ready")
    assert predict(server, 2.0) == [3.0]

    rules.write_bytes(before)
    assert until(server, port, lambda _status, reason: "refused" in reason) == (
        503, "key lease lost: the broker refused to renew it"
    )  # fmt: skip
    status, _, body = server.rest("POST", f"/v1/models/{NAME}:predict", b'{"inputs": [2.0]}')
    assert (status, json.loads(body)) == (503, {"error": "key lease lost: the broker refused to renew it"})
    rules.write_bytes(trusted)
    until(server, port, lambda status, _reason: status == 200)
    assert predict(server, 2.0) == [3.0]
    assert server.end()[0] == 0


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed")
def test_a_saved_model_is_published_sealed_and_served_from_memory(owner, broker, replica, shared_vectors):
    source = shared_vectors / "tfserving/testdata/servables/tensorflow/testdata/saved_model_half_plus_two_cpu/00000123"
    models = replica.folder / "models"
    assert main(["model", "publish", str(source), "--name", "saved", "--version", "1", "--out", str(models),
                 "--ssl-config", str(owner.folder / "ssl" / "ssl.cfg"), "--ssl-out", str(models / "saved.cfg"),
                 *owner.workspace]) == 0  # fmt: skip
    manifest = json.loads((models / "saved" / "1" / "bundle.json").read_bytes())
    assert manifest["engine"] == "tensorflow"
    assert manifest["signatures"]["serving_default"]["inputs"] == {"x": {"dtype": "float32", "shape": [-1, 1]}}
    named = {"name": "saved", "ssl_config": "saved.cfg"}
    replica.trust(broker, **named)
    before = {path for path in replica.folder.rglob("*") if path.is_file()}
    server = replica.launch(broker, **named).wait_ready()
    assert predict(server, 2.0, "saved") == [3.0]
    server.end()
    assert {path for path in replica.folder.rglob("*") if path.is_file()} == before
