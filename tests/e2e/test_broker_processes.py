"""The broker as its own process: a launched replica gets its key, a changed one does not, and a stop is orderly."""

import hashlib
import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime

import pytest

from strongroom.broker import BrokerRefused, BrokerUnreachable, provision
from strongroom.broker.ledger import chain
from strongroom.broker.ledger.tables import numbered_lines
from strongroom.broker.store.opening import open_store
from strongroom.cli import main
from strongroom.pki.authority import Authority
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret
from strongroom.workspace import Workspace

STRONGROOM = [sys.executable, "-m", "strongroom"]
MODEL = "model/m/1"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
REPLICA = """
import hashlib, os, sys
from pathlib import Path
from strongroom.broker import BrokerRefused, BrokerUnreachable, provision
from strongroom.errors import StrongroomError
from strongroom.platforms import detect

try:
    secret = provision("localhost", int(sys.argv[1]), ca_pem=Path("ca.pem").read_bytes(), platform=detect(os.environ))
except StrongroomError as refusal:
    sys.exit(refusal.code)
with secret.reveal() as raw:
    print(hashlib.sha256(raw).hexdigest())
"""


class Serving:
    """A broker process that listens."""

    def __init__(self, *words, cwd, before=()):
        self.ready, self._log = cwd / "ready", cwd / "broker.log"
        with self._log.open("a") as log:  # not a pipe: a full one that nobody reads would stop the broker
            self.process = subprocess.Popen(
                [*before, *STRONGROOM, "broker", "serve", "--port", "0", "--ready-file", str(self.ready), *words],
                cwd=cwd, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.line = self.process.stdout.readline()

    @property
    def port(self):
        return int(self.ready.read_text().rpartition(":")[2])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, self.line + out, self._log.read_text()


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(*words, cwd=tmp_path, before=()):
        running.append(Serving(*words, cwd=cwd, before=before))
        return running[-1]

    yield start
    for serving in running:
        serving.process.kill()
        serving.process.wait(60)
        serving.process.stdout.close()


@pytest.fixture
def owner(tmp_path, capsys):
    """A workspace that trusts a simulated platform and holds one model's key."""
    workspace = Workspace.create(tmp_path / "workspace", now=datetime.now(UTC))
    workspace.secrets.put(MODEL, Secret(KEY))
    assert main(["sim", "init", "--world", str(tmp_path / "world"), "--beside-real-tee"]) == 0
    assert main(["sim", "collateral", "--world", str(tmp_path / "world"), "--out", str(workspace.folder / "trust"),
                 "--beside-real-tee"]) == 0  # fmt: skip
    capsys.readouterr()
    return workspace


def write_replica(tmp_path, owner, port):
    (tmp_path / "ca.pem").write_bytes(owner.ca_certificate_pem)
    (tmp_path / "replica.py").write_text(REPLICA)
    (tmp_path / "replica.manifest").write_text(
        f'libos.entrypoint = "{sys.executable}"\n'
        f'loader.argv = ["{sys.executable}", "-I", "-B", "replica.py", "{port}"]\n'
        'sgx.trusted_files = ["file:replica.py", "file:ca.pem"]\nsgx.remote_attestation = "dcap"\n'
    )
    return tmp_path / "replica.manifest"


def launch(tmp_path, manifest):
    return subprocess.run(
        [*STRONGROOM, "sim", "run", "--beside-real-tee", "--world", str(tmp_path / "world"), str(manifest)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_measured_replica_gets_its_key_and_a_changed_one_does_not(serve, owner, tmp_path, capsys):
    broker = serve("--workspace", str(owner.folder))
    manifest = write_replica(tmp_path, owner, broker.port)
    assert (
        main(["sim", "measure", str(manifest), "--json", "--world", str(tmp_path / "world"), "--beside-real-tee"]) == 0
    )
    (tmp_path / "measurement.json").write_text(capsys.readouterr().out)

    refused = launch(tmp_path, manifest)  # nobody is trusted yet
    assert "SR-BROKER-REFUSED" in refused.stderr
    trust = ["policy", "trust", "--measurement", str(tmp_path / "measurement.json"), "--release", MODEL]
    assert main([*trust, "--trust-domain", "simulated", "--workspace", str(owner.folder)]) == 0

    done = launch(tmp_path, manifest)
    assert done.stdout.strip() == hashlib.sha256(KEY).hexdigest()
    (tmp_path / "replica.py").write_text(REPLICA + "# one more line\n")
    assert "SR-BROKER-REFUSED" in launch(tmp_path, manifest).stderr

    status, out, err = broker.stop()
    assert status == 0
    assert out == f"broker listens on 127.0.0.1:{broker.port}\n"
    assert "SIMULATED" in err
    assert "policy changed: 1 rules are in force" in err
    assert "POLICY_MRENCLAVE" in err
    assert KEY.hex() not in err
    assert err.rstrip().endswith("broker stopped; the last root of its ledger is signed")
    with closing(sqlite3.connect(owner.folder / "broker.db")) as store:  # nobody has to look for this one
        assert store.execute("SELECT count(*) FROM brokers").fetchone() == (0,)
    capsys.readouterr()
    assert main(["ledger", "show", "--json", "--workspace", str(owner.folder)]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    decisions = [entry["decision"] for entry in entries if entry["kind"] == "decision"]
    assert decisions == ["denied", "granted", "denied"]
    assert main(["ledger", "verify", "--workspace", str(owner.folder)]) == 0


def loose_files(tmp_path, key=KEY):
    """The files of a seed user: no workspace, a wrap key, an ordinary server certificate, a ra_config.json."""
    ca = Authority.create("seed", now=datetime.now(UTC))
    leaf = ca.issue_server(["localhost"], now=datetime.now(UTC))
    world = World.create(tmp_path / "world", now=datetime.now(UTC))
    (tmp_path / "wrap_key").write_bytes(key)
    (tmp_path / "server.crt").write_bytes(leaf.certificate_pem)
    with leaf.key_pem.reveal() as raw:
        (tmp_path / "server.key").write_bytes(raw)
    (tmp_path / "root.der").write_bytes(world.root_der)
    (tmp_path / "collateral.json").write_text(world.collateral(datetime.now(UTC)).to_json())
    entry = {"mr_enclave": "e1" * 32, "mr_signer": "51" * 32, "isv_prod_id": "7", "isv_svn": "3"}
    switches = {f"verify_{field}": "on" for field in entry}
    (tmp_path / "ra_config.json").write_text(json.dumps({**switches, "mrs": [entry]}))
    assert main(["policy", "import", str(tmp_path / "ra_config.json"), "--out", str(tmp_path / "policy.toml"),
                 "--trust-domain", "simulated"]) == 0  # fmt: skip
    words = ("--policy", "policy.toml", "--key-file", "wrap_key", "--cert", "server.crt", "--key", "server.key",
             "--anchors", "root.der", "--collateral", "collateral.json")  # fmt: skip
    return ca, world, words


def decisions(folder):
    """The decisions in the store of a broker that has ended; every line has to be in its place."""
    with closing(open_store(folder / "broker.db")) as store:
        lines = [line for _, line in numbered_lines(store, first=0, last=None)]
    chain.check(lines)
    return [entry for entry in map(json.loads, lines) if entry["kind"] == "decision"]


class Platform:
    def __init__(self, world, svn):
        self._world = world
        self._identity = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=svn)

    def quote(self, report_data):
        return self._world.quote(self._identity, report_data)


def test_loose_files_of_a_seed_user_make_a_broker(serve, tmp_path):
    ca, world, words = loose_files(tmp_path)
    broker = serve(*words)
    secret = provision("localhost", broker.port, ca_pem=ca.certificate_pem, platform=Platform(world, svn=4))
    with secret.reveal() as raw:
        assert raw == KEY
    assert broker.stop()[0] == 0
    assert [entry["decision"] for entry in decisions(tmp_path)] == ["granted"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (lambda words: words[:-8], 2, "SR-BROKER-SETUP"),
        (lambda words: (*words[:4], *words[6:]), 2, "SR-BROKER-SETUP"),
        (lambda words: (), 2, "SR-NOT-A-WORKSPACE"),
        (lambda words: (*words, "--port", "70000"), 1, "SR-MISUSE"),
        (lambda words: (*words, "--deadline", "0"), 1, "SR-MISUSE"),
        (lambda words: (*words, "--key", "server.crt"), 2, "SR-BROKER-CERTIFICATE"),
        (lambda words: (*words, "--anchors", "server.crt"), 2, "SR-ANCHOR"),
    ],
    ids=["no key", "no certificate", "nothing", "port", "deadline", "wrong key", "no root"],
)
def test_a_broker_that_cannot_serve_says_why_in_one_sentence(tmp_path, change, status, code):
    _, _, words = loose_files(tmp_path)
    done = subprocess.run([*STRONGROOM, "broker", "serve", "--port", "0", *change(words)], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (status, "")
    assert f"[{code}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_kd_02_the_published_sample_key_is_refused_at_the_start(tmp_path):
    _, _, words = loose_files(tmp_path, bytes.fromhex("dda09c7c52359c9b" + "c4e51982b97dd7fe"))
    done = subprocess.run([*STRONGROOM, "broker", "serve", "--port", "0", *words], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 3
    assert "[SR-WEAK-KEY]" in done.stderr


def test_one_key_file_is_one_secret(tmp_path):
    _, _, words = loose_files(tmp_path)
    with (tmp_path / "policy.toml").open("a") as file:
        file.write(f'[[rule]]\nname = "other"\nmrenclave = "{"0f" * 32}"\nrelease = "{MODEL}"\n')
    done = subprocess.run([*STRONGROOM, "broker", "serve", "--port", "0", *words], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert "[SR-KEY-FILE]" in done.stderr


def test_two_brokers_of_one_workspace_share_limits_and_ledger(serve, owner, tmp_path):
    (tmp_path / "second").mkdir()
    world, ca_pem = World.open(tmp_path / "world"), owner.ca_certificate_pem
    rule = f'[[rule]]\nname = "r"\nmrenclave = "{"e1" * 32}"\ntrust_domains = ["simulated"]\nrelease = "{MODEL}"\n'
    owner.policy_path.write_text(f"version = 1\n{rule}max_leases = 2\n")
    first, second = (serve("--workspace", str(owner.folder), cwd=each) for each in (tmp_path, tmp_path / "second"))
    for broker in (first, second):
        secret = provision("localhost", broker.port, ca_pem=ca_pem, platform=Platform(world, svn=3))
        assert secret == Secret(KEY)
    for broker in (second, first):
        with pytest.raises(BrokerRefused):
            provision("localhost", broker.port, ca_pem=ca_pem, platform=Platform(world, svn=3))
    assert [broker.stop()[0] for broker in (first, second)] == [0, 0]
    found = decisions(owner.folder)
    assert [entry["decision"] for entry in found] == ["granted", "granted", "denied", "denied"]
    assert {reason["code"] for entry in found for reason in entry["reasons"]} == {"LEASE_LIMIT"}
    assert main(["ledger", "verify", "--workspace", str(owner.folder)]) == 0


def test_sa_11_a_broker_that_is_killed_has_written_every_release_down(serve, tmp_path):
    ca, world, words = loose_files(tmp_path)
    broker = serve(*words)
    port, third, replica = broker.port, threading.Event(), Platform(world, svn=3)

    def ask_until_it_is_gone():
        received = 0
        while True:
            try:
                provision("localhost", port, ca_pem=ca.certificate_pem, platform=replica)
            except (BrokerRefused, BrokerUnreachable):
                return received
            received += 1
            if received == 3:
                third.set()

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask_until_it_is_gone) for _ in range(3)]
        assert third.wait(60)
        os.kill(broker.process.pid, signal.SIGKILL)
        received = sum(each.result(60) for each in asking)
    broker.process.wait(60)
    assert serve(*words).stop()[0] == 0  # the next one goes on with the same ledger
    granted = [entry for entry in decisions(tmp_path) if entry["decision"] == "granted"]
    assert len(granted) >= received >= 3


def first_answer(port, ca, platform):
    """Ask until the broker has taken leave of those who came before, and return what it then releases."""
    for _ in range(1000):
        with suppress(BrokerRefused, BrokerUnreachable):
            return provision("localhost", port, ca_pem=ca.certificate_pem, platform=platform)
    raise AssertionError("the broker never answered")


def test_fb_16_a_flood_of_connections_does_not_take_the_brokers_file_descriptors(serve, tmp_path):
    ca, world, words = loose_files(tmp_path)
    broker = serve(*words, before=("prlimit", "--nofile=256:256"))
    with ExitStack() as idle:
        for _ in range(600):
            idle.enter_context(socket.create_connection(("127.0.0.1", broker.port), timeout=30))
    assert first_answer(broker.port, ca, Platform(world, svn=3)) == Secret(KEY)
    status, _, log = broker.stop()
    assert status == 0
    assert "too many connections" in log
    assert "Traceback" not in log
    assert len(log.splitlines()) < 20


def test_kd_22_the_broker_leaves_no_core_dump_and_lets_nobody_look_into_it(tmp_path):
    code = (
        "import ctypes, resource\n"
        "from strongroom.broker.run import keep_memory_private\n"
        "keep_memory_private()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) 0\n"


def test_kd_22_the_running_broker_may_leave_no_core_dump(serve, tmp_path):
    _, _, words = loose_files(tmp_path)
    broker = serve(*words)
    assert resource.prlimit(broker.process.pid, resource.RLIMIT_CORE) == (0, 0)
    assert broker.stop()[0] == 0


@pytest.mark.parametrize(
    ("address", "code"), [("127.0.0.1", "SR-PORT-TAKEN"), ("203.0.113.9", "SR-PORT-TAKEN"), ("nowhere.invalid", "SR-N")]
)
def test_a_broker_that_cannot_listen_says_so_and_ends(owner, address, code):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ("broker", "serve", "--workspace", str(owner.folder), "--address", address)
        done = subprocess.run(
            [sys.executable, "-m", "strongroom", *words, "--port", str(taken.getsockname()[1])],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode in {2, 4}
    assert code in done.stderr
