"""A replica in a simulated trust domain gets its key from a running broker; a changed one gets nothing."""

import hashlib
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from strongroom.secret import Secret
from strongroom.workspace import Workspace

STRONGROOM = [sys.executable, "-m", "strongroom"]
MODEL = "model/m/1"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
REPLICA = """
import hashlib, os, sys
from pathlib import Path
from strongroom.broker import provision
from strongroom.errors import StrongroomError
from strongroom.platforms import detect

try:
    secret = provision("localhost", int(sys.argv[1]), ca_pem=Path("ca.pem").read_bytes(), platform=detect(os.environ))
except StrongroomError as refusal:
    sys.exit(refusal.code)
with secret.reveal() as raw:
    print(hashlib.sha256(raw).hexdigest())
"""


class Scene:
    """An owner with a broker and an operator with a machine, in one folder."""

    def __init__(self, folder, workspace, port):
        self.folder, self.workspace = folder, workspace
        (folder / "ca.pem").write_bytes(workspace.ca_certificate_pem)
        (folder / "replica.py").write_text(REPLICA)
        (folder / "replica.manifest").write_text(
            f'libos.entrypoint = "{sys.executable}"\n'
            f'loader.argv = ["{sys.executable}", "-I", "-B", "replica.py", "{port}"]\n'
            'sgx.trusted_files = ["file:replica.py", "file:ca.pem"]\nsgx.remote_attestation = "dcap"\n'
        )

    def sim(self, verb, *words):
        command = [*STRONGROOM, "sim", verb, *words, "--beside-real-tee", "--world", str(self.folder / "world")]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)

    def launch(self, *words):
        return self.sim("run", "replica.manifest", "--tee", "tdx", *words)

    def trust_what_is_measured(self):
        measured = self.folder / "measurement.json"
        measured.write_text(self.sim("measure", "replica.manifest", "--tee", "tdx", "--json").stdout)
        words = ["--release", MODEL, "--trust-domain", "simulated", "--workspace", str(self.workspace.folder)]
        command = [*STRONGROOM, "policy", "trust", "--measurement", str(measured), *words]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


@pytest.fixture
def scene(tmp_path):
    workspace = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    workspace.secrets.put(MODEL, Secret(KEY))
    ready = tmp_path / "ready"
    words = ["broker", "serve", "--port", "0", "--ready-file", str(ready), "--workspace", str(workspace.folder)]
    collateral = ["sim", "collateral", "--out", str(workspace.folder / "trust"), "--world", str(tmp_path / "world")]
    subprocess.run([*STRONGROOM, *collateral, "--beside-real-tee"], check=True, capture_output=True, timeout=120)
    with (tmp_path / "broker.log").open("w") as log:
        broker = subprocess.Popen([*STRONGROOM, *words], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert "listens" in broker.stdout.readline(), (tmp_path / "broker.log").read_text()
        yield Scene(tmp_path, workspace, ready.read_text().rpartition(":")[2].strip())
    finally:
        broker.send_signal(signal.SIGTERM)
        broker.communicate(timeout=60)


def test_a_measured_trust_domain_gets_its_key_and_a_changed_one_does_not(scene):
    assert "SR-BROKER-REFUSED" in scene.launch().stderr, "nobody was trusted yet"
    scene.trust_what_is_measured()
    for version in ("4", "5"):
        done = scene.launch("--quote-version", version)
        assert done.stdout.strip() == hashlib.sha256(KEY).hexdigest(), done.stderr
    assert "SR-BROKER-REFUSED" in scene.launch("--relaunch-due").stderr, "its module was out of date"
    (scene.folder / "replica.py").write_text(REPLICA + "# one more line\n")
    assert "SR-BROKER-REFUSED" in scene.launch().stderr


def test_the_same_program_as_an_enclave_is_another_program(scene):
    scene.trust_what_is_measured()
    assert "SR-BROKER-REFUSED" in scene.sim("run", "replica.manifest").stderr
